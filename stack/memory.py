"""Memory of a service: its process and all child processes."""

import psutil


def memory_mb(pid: int) -> int | None:
    """Return the memory of a tree of processes; None if it has ended.

    Proportional set size where the system provides it (Linux, with the required permission);
    elsewhere resident set size, which counts shared pages repeatedly.
    """
    tree = processes(pid)
    return sum(map(_bytes, tree)) // 2**20 if tree else None


def processes(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants; empty if it has ended."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.Error:
        return []


def _bytes(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except psutil.AccessDenied:
        return _resident(process)
    except psutil.Error:
        return 0


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
