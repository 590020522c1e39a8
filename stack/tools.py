"""Runs the programs of the set-up: line by line, and all of them ended when one fails."""

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lakehouse.environment import process_environment
from lakehouse.errors import StopPipelineError

_LAST_LINES = 12


class Tools:
    """The programs that a set-up has running. Threads may share it."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._is_cancelled = False

    def run(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        on_line: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """Run a program to its end; `on_line` is told each line it writes.

        Raises:
            StopPipelineError: it fails, with its last lines, or the set-up was cancelled.
        """
        last: deque[str] = deque(maxlen=_LAST_LINES)
        with self._start(command, env, cwd) as process:
            try:
                for line in process.stdout or ():
                    last.append(line.rstrip())
                    on_line(line.rstrip())
            finally:
                with self._lock:
                    self._running.discard(process)
        if process.returncode != 0:
            raise StopPipelineError(_failure(Path(command[0]).name, process.returncode, last))

    def cancel(self) -> None:
        """End what runs, and start nothing more."""
        with self._lock:
            self._is_cancelled = True
            for process in self._running:
                process.terminate()

    def _start(
        self, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path | None
    ) -> subprocess.Popen[str]:
        with self._lock:
            if self._is_cancelled:
                message = "The set-up was cancelled. Run the same command again to go on."
                raise StopPipelineError(message)
            process = subprocess.Popen(
                [str(part) for part in command],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                umask=0o022,
            )
            self._running.add(process)
        return process


def uv_install(tools: Tools, uv: Path, lock: Path, target: Path) -> None:
    """Install a hash-locked requirement file into a folder."""
    tools.run(
        [
            uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", target,
            "--require-hashes", "--no-deps", "--requirement", lock,
        ],
        env=process_environment(),
    )  # fmt: skip


def _failure(name: str, status: int, last: Sequence[str]) -> str:
    return (
        f"{name} failed (exit status {status}):\n"
        + "\n".join(f"  {line}" for line in last)
        + "\nFirst set-up downloads what it needs: is the network there? Proxies and mirrors are "
        "taken from the environment. Run the same command again; it goes on where it stopped."
    )
