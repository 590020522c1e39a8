"""Orphaned processes of a former supervisor, identified by a variable in their environment."""

import contextlib
import signal

import psutil

from stack.paths import Data
from stack.supervision import PROGRAM_VARIABLE, SUPERVISOR

_PATIENCE_SECONDS = 15
_SUPERVISOR_PATIENCE_SECONDS = 60
"""Supervisor, which ends its programs before itself."""


def stop_orphans(data: Data) -> list[str]:
    """End programs of this data directory that no command can control any more.

    This includes a supervisor whose socket was deleted, e.g. together with the data.

    Returns:
        Names of the ended programs.
    """
    names: set[str] = set()
    # Twice, since a killed supervisor leaves orphans itself.
    for _ in range(2):
        orphans = _find(data)
        names |= set(orphans.values())
        _end(orphans)
    return sorted(names)


def _end(orphans: dict[psutil.Process, str]) -> None:
    for process, name in orphans.items():
        # On SIGTERM Postgres waits for all sessions to end.
        polite = signal.SIGINT if name in {"oltp", "warehouse"} else signal.SIGTERM
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(polite)
    is_supervised = SUPERVISOR in orphans.values()
    patience = _SUPERVISOR_PATIENCE_SECONDS if is_supervised else _PATIENCE_SECONDS
    _, alive = psutil.wait_procs(list(orphans), timeout=patience)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)


def _find(data: Data) -> dict[psutil.Process, str]:
    marked = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            directory, _, name = process.environ().get(PROGRAM_VARIABLE, "").rpartition(":")
            if directory == str(data.root):
                marked[process] = name
    pids = {process.pid for process in marked}
    # Children of a server end with it.
    return {process: name for process, name in marked.items() if _parent(process) not in pids}


def _parent(process: psutil.Process) -> int | None:
    with contextlib.suppress(psutil.Error):
        return process.ppid()
    return None
