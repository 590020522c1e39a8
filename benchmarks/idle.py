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
    before = processor_seconds(stack)
    time.sleep(seconds)
    used = sum(processor_seconds(stack).values()) - sum(before.values())
    memory = sum(service.memory_mb or 0 for service in stack.control.status())
    return used / (time.monotonic() - began), memory


def processor_seconds(stack: TestStack) -> dict[str, float]:
    """Return what each service has used so far, with its children that have ended."""
    used: dict[str, float] = {}
    for service in stack.control.status():
        for process in [] if service.pid is None else processes(service.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                name = service.service
                used[name] = used.get(name, 0.0) + sum(times[:4])
    return used
