"""A command of the pipeline, timed, and how much memory it takes at most."""

import resource
import subprocess
import time
from dataclasses import dataclass

import psutil

from devtools.test_stack import TestStack

_ASK_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """What a command took, start of Python included, and what it printed."""

    seconds: float
    cpu_seconds: float
    peak_rss_mb: float
    out: str


def watched(stack: TestStack, *arguments: object) -> Peak:
    """Run it to its end.

    Raises:
        RuntimeError: it did not succeed.
    """
    began, used = time.monotonic(), seconds_of_ended_children()
    command = stack.popen(
        *arguments, "--format", "json", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    process, peak = psutil.Process(command.pid), 0
    while command.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(_ASK_SECONDS)
    out, _ = command.communicate()
    seconds = time.monotonic() - began
    if command.returncode != 0:
        message = f"{' '.join(map(str, arguments))} ended with {command.returncode}: {out[-2000:]}"
        raise RuntimeError(message)
    return Peak(
        seconds=seconds,
        cpu_seconds=seconds_of_ended_children() - used,
        peak_rss_mb=peak / 1024 / 1024,
        out=out,
    )


def seconds_of_ended_children() -> float:
    """Return the processor seconds of all children of this process that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
