"""What tests know of stacks. See `devtools.test_stack`.

Servers start once in a test process. Each file is a tenant of them: databases, topics, slot,
connector, groups and buckets of its own, under the same supervisor.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import psycopg

from batch.reconcile import ReconcileConfig
from batch.reconcile import settle as settle_bronze
from devtools import test_stack
from devtools.test_stack import TestStack, free_ports
from lakehouse.environment import environment
from lakehouse.errors import PipelineError
from lakehouse.postgres import oltp_dsn, warehouse_dsn
from lakehouse.settings import ROOT

__all__ = [
    "TestStack", "capture_paused", "end_kept_servers", "end_servers", "free_ports", "new_stack",
    "popen_with", "reconcile_config", "settle", "tenant",
]  # fmt: skip

_SPARING = {
    # A test's Java lives for minutes: much of its work would be to compile for the hours to come.
    "KAFKA_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1",
    # A test needs no half second of freshness; polling 100 times a second costs as much as capture.
    "CONNECT_POLL_INTERVAL_MS": 100,
}
_KEPT = "var/test-stack-{}.json"
_PROGRAMS = (
    "auto-restart", "lander", "live", "airflow-scheduler", "airflow-dags", "airflow", "superset",
)  # fmt: skip
"""What runs for one tenant alone."""
_servers = ExitStack()
_started: list[TestStack] = []


@dataclass
class Reuse:
    """Whether servers are kept for the next run of tests. Set by `--reuse`."""

    is_on: bool = False


REUSE = Reuse()


def new_stack(**settings: object) -> AbstractContextManager[TestStack]:
    """As in `devtools.test_stack`, on fewer of the machine's cores."""
    return test_stack.new_stack(**{**_SPARING, **settings})


@contextmanager
def tenant(**settings: object) -> Iterator[TestStack]:
    """A stack of which only the names are its own: its servers are those of all files.

    `up` starts what is not running. Whatever a test does to a server it undoes, or `up` does.
    """
    name = f"t{token_hex(3)}"
    names = {
        "OLTP_DATABASE": f"shop_{name}",
        "WAREHOUSE_DATABASE": f"warehouse_{name}",
        "CONNECT_TOPIC_PREFIX": f"shop_{name}",
        "CONNECT_SLOT_NAME": f"dbz_shop_{name}",
        "CONNECT_CONNECTOR_NAME": f"shop_{name}",
        "MINIO_BUCKET_PREFIX": f"{name}-",
    }
    stack = _shared().with_settings(**{**names, **settings})
    try:
        yield stack
    finally:
        _leave(stack)


def popen_with(
    stack: TestStack, constants: Mapping[str, object], *arguments: object, **options: Any
) -> subprocess.Popen[str]:
    """Start a command of `./pipeline` in which constants of modules have other values."""
    code = "".join(
        f"import {place.rpartition('.')[0]}; {place} = {value!r}\n"
        for place, value in constants.items()
    )
    command = [sys.executable, "-c", f"{code}from cli.__main__ import main\nmain()"]
    return subprocess.Popen([*command, *map(str, arguments)], env=stack.env, text=True, **options)


@contextmanager
def capture_paused(stack: TestStack) -> Iterator[None]:
    """No change comes through meanwhile; far cheaper than to stop and start Connect."""
    connector = f"{stack.connect.url}/connectors/{stack.connect.connector_name}"
    httpx.put(f"{connector}/pause").raise_for_status()
    try:
        yield
    finally:
        httpx.put(f"{connector}/resume").raise_for_status()


def reconcile_config(stack: TestStack) -> ReconcileConfig:
    """How to reconcile in this process."""
    return ReconcileConfig(
        oltp=stack.oltp, kafka=stack.kafka, connect=stack.connect, minio=stack.minio,
        warehouse=stack.warehouse,
    )  # fmt: skip


def settle(stack: TestStack) -> None:
    """Wait until bronze has all that the shop has committed: far cheaper than to reconcile."""
    settle_bronze(stack.secrets, reconcile_config(stack))


def end_servers() -> None:
    """Stop the servers that tenants shared, at the end of a test process."""
    _started.clear()
    _servers.close()


def end_kept_servers() -> None:
    """Stop the servers that runs with `--reuse` have kept."""
    for file in ROOT.glob(_KEPT.format("*")):
        stack = _of_file(file)
        if stack is not None:
            stack.end()
        file.unlink()


def _shared() -> TestStack:
    if not _started:
        _started.append(_kept() if REUSE.is_on else _servers.enter_context(new_stack()))
    return _started[0]


def _kept() -> TestStack:
    """The servers of the last run in this process of pytest-xdist, or new ones."""
    file = ROOT / _KEPT.format(environment().get("PYTEST_XDIST_WORKER", "main"))
    stack = _of_file(file)
    if stack is None:
        stack = test_stack.prepared(**_SPARING)
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"data_dir": str(stack.data_dir), "env": dict(stack.env)}))
        file.chmod(0o600)
    return stack


def _of_file(file: Path) -> TestStack | None:
    if not file.exists():
        return None
    noted = json.loads(file.read_text())
    data_dir = Path(noted["data_dir"])
    return TestStack(data_dir=data_dir, env=noted["env"]) if data_dir.exists() else None


def _leave(stack: TestStack) -> None:
    """Stop what runs for this tenant, and let the shop's Postgres forget what it has not read."""
    for program in _PROGRAMS:
        if stack.pid(program) is not None:
            stack.stop(program)
    connect = stack.connect
    with suppress(httpx.HTTPError):
        httpx.delete(f"{connect.url}/connectors/{connect.connector_name}", timeout=30)
    with suppress(psycopg.Error, PipelineError):
        dsn = oltp_dsn(stack.oltp, stack.secrets, role="admin")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(_DROP, [connect.slot_name])
    with suppress(psycopg.Error, PipelineError):
        dsn = warehouse_dsn(stack.warehouse, stack.secrets, role="admin")
        with psycopg.connect(dsn, dbname="airflow") as connection:
            # One Airflow serves all tenants. It would continue this one's runs for the next, and
            # begin the next one's by this one's settings until it has read the DAG files again.
            # Scheduled runs of one hour have the same id, and events of assets know no other.
            connection.execute("truncate dag, dag_version, dag_run, asset_event cascade")


_DROP = """
select
    pg_terminate_backend(s.active_pid, 5000), pg_drop_replication_slot(s.slot_name)
from pg_replication_slots as s
where s.slot_name = %s"""
