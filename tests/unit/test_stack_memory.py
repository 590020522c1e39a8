"""A service's memory is that of all its processes."""

import os
import subprocess
import sys

from stack.memory import memory_mb

HOLD = "held = bytearray(64 << 20); print('ready', flush=True); input()"


def test_processes_below_count():
    before = memory_mb(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "ready\n"
        assert memory_mb(child.pid) >= 64
        assert memory_mb(os.getpid()) >= before + 50
        child.communicate("\n")
    assert memory_mb(child.pid) is None
