"""The shop's database is lost, and its standby takes its place: nothing lost, nothing doubled."""

import json
import subprocess
import time
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from devtools.test_stack import free_ports, new_stack
from lakehouse.postgres import oltp_dsn
from stack.net import is_listening
from stack.paths import Cache
from stack.service_user import find_service_user

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(1200)]
USER = find_service_user("nobody")
PATIENCE_SECONDS = 180
WAITING = {"synchronized_standby_slots": "standby", "synchronous_standby_names": "standby"}
"""No commit is acknowledged, and none reaches Kafka, before the standby has it."""


class Standby:
    """A copy of the shop's database that follows it, synchronizes its slots, and is promoted."""

    def __init__(self, stack):
        self.stack = stack
        self.programs = Cache(root=stack.config.stack.cache_dir).postgres_programs
        self.folder = USER.make_private_dir(stack.data_dir / "standby")
        self.data = self.folder / "data"
        [self.port] = free_ports(1)

    def run(self, program, *arguments):
        command = [self.programs / program, *arguments]
        USER.run(command, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, cwd=self.folder)

    def copy(self):
        dsn = oltp_dsn(self.stack.oltp, self.stack.secrets, role="admin")
        named = make_conninfo(dsn, application_name="standby")
        self.run("pg_basebackup", "-d", named, "-D", self.data, "-R", "-C", "-S", "standby",
                 "-c", "fast")  # fmt: skip

    @contextmanager
    def running(self, port):
        values = {"port": port, "sync_replication_slots": "on", "hot_standby_feedback": "on"}
        options = [part for item in values.items() for part in ("-c", "{}={}".format(*item))]
        with subprocess.Popen(
            [str(self.programs / "postgres"), "-D", str(self.data), *options],
            cwd=self.folder, user=USER.uid, group=USER.gid, extra_groups=[],
        ) as server:  # fmt: skip
            try:
                yield server
            finally:
                server.send_signal(2)  # a fast shutdown

    def asked(self, query, port):
        stack = self.stack.with_settings(OLTP_PORT=port)
        dsn = oltp_dsn(stack.oltp, stack.secrets, role="admin")
        with psycopg.connect(dsn, autocommit=True) as connection:
            return connection.execute(query).fetchone()


def until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except psycopg.OperationalError:
            pass
        time.sleep(0.2)
    pytest.fail(f"not within {PATIENCE_SECONDS} s")


def test_standby_that_takes_over_loses_and_doubles_nothing():
    with new_stack() as stack:
        stack.run("up", "lander", timeout=580)
        stack.run("simulate", "--orders", 200, "--seed", 7, timeout=180)
        standby, port = Standby(stack), stack.oltp.port
        standby.copy()
        slot = (
            "select synced and not temporary from pg_replication_slots "
            f"where slot_name = '{stack.connect.slot_name}'"
        )
        with standby.running(standby.port):
            until(lambda: standby.asked("select 1", standby.port))
            with psycopg.connect(oltp_dsn(stack.oltp, stack.secrets, role="admin")) as primary:
                primary.autocommit = True
                for name, value in WAITING.items():
                    primary.execute(f"alter system set {name} = '{value}'")
                primary.execute("select pg_reload_conf()")
            selling = stack.popen("simulate", "--orders", 800, "--orders-per-second", 20)
            # A slot is synchronized once it has left behind what the standby never had.
            until(lambda: standby.asked(slot, standby.port) == (True,))
            sold = "select count(*) > 300 from public.orders"
            until(lambda: standby.asked(sold, standby.port) == (True,))
            stack.kill("oltp")
            stack.stop("oltp")
            until(lambda: not is_listening("127.0.0.1", port))
            standby.run("pg_ctl", "promote", "-D", standby.data, "-w")
        with standby.running(port):
            until(lambda: standby.asked("select 1", port))
            assert selling.wait(PATIENCE_SECONDS) == 0
            timeline = standby.asked("select timeline_id from pg_control_checkpoint()", port)
            assert timeline[0] > 1
            stack.run("consolidate", "--layer", "silver", timeout=300)
            done = stack.run("reconcile", "--format", "json", check=False, timeout=300)
            report = json.loads(done.stdout)
            assert report["exact"] is True, done.stdout + done.stderr
