"""Commands killed while they are at work. Their record in the warehouse tells when that begins."""

import signal
import subprocess
import time
from collections.abc import Callable

import psycopg
import pytest

from devtools.warm import Process
from lakehouse.postgres import warehouse_dsn
from tests.stacks import TestStack


def kill_at_work(
    stack: TestStack,
    *command: str,
    moment: float,
    prepare: Callable[[], None] = lambda: None,
) -> None:
    """Prepare, start a command and kill it after `moment` seconds, or sooner if it ends by then."""
    for _ in range(10):
        prepare()
        victim = _start(stack, command)
        time.sleep(moment)
        victim.kill()
        if (end := victim.wait()) == -signal.SIGKILL:
            return
        assert end == 0, f"{command} ended with {end}"
        moment /= 2
    pytest.fail(f"{command} ended before {moment * 2:.2f} s of its work, ten times")


def _start(stack: TestStack, command: tuple[str, ...]) -> Process:
    """Start it, and wait until it is at work."""
    before = _last_note(stack)
    process = stack.fork(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and _last_note(stack) == before:
        time.sleep(0.1)
    return process


def _last_note(stack: TestStack) -> object:
    """When something was last written to the record of a run."""
    with psycopg.connect(warehouse_dsn(stack.warehouse, stack.secrets, role="admin")) as connection:
        return connection.execute("select max(noted_at) from etl.runs").fetchone()
