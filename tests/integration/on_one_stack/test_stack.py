"""The stack, as somebody at a terminal meets it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lakehouse.settings import ROOT
from stack.catalog import SERVERS
from tests.stacks import new_stack

pytestmark = pytest.mark.integration
PATIENCE_SECONDS = 600


def status_of(stack) -> dict[str, dict]:
    report = stack.run("status", "--format", "json")
    return {row["service"]: row for row in json.loads(report.stdout)}


def test_up_twice_is_once(stack):
    before = {name: row["pid"] for name, row in status_of(stack).items()}
    stack.up(*SERVERS)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not all((after := status_of(stack))[name]["is_ready"] for name in SERVERS):
        assert time.monotonic() < deadline, after
    assert {name: row["pid"] for name, row in after.items()} == before


@pytest.mark.parametrize("server", ["kafka", "connect"])
def test_java_begins_with_the_classes_that_were_archived(stack, server):
    mapped = Path(f"/proc/{stack.pid(server)}/maps").read_text()
    assert {"classes.jsa", f"{server}.jsa"} <= {Path(line).name for line in mapped.splitlines()}


@pytest.mark.long
def test_start_that_failed_leaves_nothing_running_but_what_ran_before():
    """The time is too short for any service that does not run already."""
    with new_stack() as stack:
        before = processes_below(stack.data_dir)
        hasty = stack.with_settings(STACK_START_TIMEOUT_SECONDS=0.01)
        failed = hasty.run("up", "minio", "kafka", check=False)
        assert (failed.returncode, "is not ready after" in failed.stderr) == (3, True), failed
        assert [row for row in status_of(stack).values() if row["pid"]] == []
        assert processes_below(stack.data_dir) == before
        stack.up("minio")
        failed = hasty.run("up", "minio", "kafka", check=False)
        assert failed.returncode == 3, failed
        assert [name for name, row in status_of(stack).items() if row["pid"]] == ["minio"]


def processes_below(folder):
    running = psutil.process_iter(["pid", "cmdline"])
    return {one.pid for one in running if str(folder) in " ".join(one.info["cmdline"] or ())}


KILLED = """
import os, signal
from tests.stacks import new_stack
with new_stack() as stack:
    stack.up("warehouse")
    print(stack.data_dir, stack.pid("warehouse"), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.long
def test_stack_of_a_test_that_was_killed_is_cleared_away():
    found = subprocess.run(
        [sys.executable, "-c", KILLED], cwd=ROOT, capture_output=True, text=True, check=False
    )
    data_dir, pid = found.stdout.split()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while Path(data_dir).exists():
        assert time.monotonic() < deadline, f"{data_dir} is still there"
        time.sleep(0.5)
    assert not psutil.pid_exists(int(pid))
