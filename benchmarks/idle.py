"""What a stack takes while nobody sells and nobody looks."""

import contextlib
import time

import psutil

from devtools.test_stack import TestStack
from stack.memory import processes


def cores_and_memory(stack: TestStack, seconds: float) -> tuple[float, int]:
    """Watch all its services for so long.

    Returns:
        Processor seconds per second, and megabytes at the end; pages that processes share are
        counted once.
    """
    began = time.monotonic()
    before = _processor_seconds(stack)
    time.sleep(seconds)
    used = _processor_seconds(stack) - before
    memory = sum(service.memory_mb or 0 for service in stack.control.status())
    return used / (time.monotonic() - began), memory


def _processor_seconds(stack: TestStack) -> float:
    """All that its processes have used so far, and their children that have ended."""
    used = 0.0
    for service in stack.control.status():
        for process in [] if service.pid is None else processes(service.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used += times.user + times.system + times.children_user + times.children_system
    return used
