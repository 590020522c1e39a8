"""Processes that outlived their supervisor: found by the mark in their environment, and ended."""

import contextlib
import signal

import psutil

from stack.layout import Data
from stack.supervision import MARK

_PATIENCE_SECONDS = 15


def stop_orphans(data: Data) -> list[str]:
    """End the programs of this data directory that nobody supervises any more.

    Returns:
        Their names.
    """
    orphans = _find(data)
    for process, name in orphans.items():
        # To Postgres, TERM means: wait for all sessions to end.
        polite = signal.SIGINT if name in {"oltp", "warehouse"} else signal.SIGTERM
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(polite)
    _, alive = psutil.wait_procs(list(orphans), timeout=_PATIENCE_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
    return sorted(set(orphans.values()))


def _find(data: Data) -> dict[psutil.Process, str]:
    marked = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            directory, _, name = process.environ().get(MARK, "").rpartition(":")
            if directory == str(data.root):
                marked[process] = name
    pids = {process.pid for process in marked}
    # A server's own children end with it.
    return {process: name for process, name in marked.items() if _parent(process) not in pids}


def _parent(process: psutil.Process) -> int | None:
    with contextlib.suppress(psutil.Error):
        return process.ppid()
    return None
