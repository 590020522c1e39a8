"""How much memory a service takes: its process, and all the processes below it."""

import psutil


def memory_mb(pid: int) -> int | None:
    """Memory of a tree of processes; None when it is gone.

    Pages that several of them share are counted in parts that add up, where the system tells how
    many share them (Linux, to who may ask); elsewhere in full.
    """
    tree = processes(pid)
    return sum(map(_bytes, tree)) // 2**20 if tree else None


def processes(pid: int) -> list[psutil.Process]:
    """A process and all below it; none when it is gone."""
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
