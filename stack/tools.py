"""Runs the programs of the set-up: line by line, and again where the network failed."""

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lakehouse.environment import process_environment
from lakehouse.errors import StopPipelineError
from stack.retries import PAUSES_SECONDS, is_transient, with_retries

_LAST_LINES = 12
_UV_RETRIES = "5"
"""Of each request, with pauses of uv's own: some 40 s until it gives up. Its default is 3."""


class ToolError(StopPipelineError):
    """A program has failed.

    Attributes:
        is_transient: whether the network was the reason.
    """

    def __init__(self, name: str, status: int, last: Sequence[str]) -> None:
        self.is_transient = is_transient("\n".join(last))
        super().__init__(_failure(name, status, last, is_network=self.is_transient))


class Tools:
    """The programs that a set-up has running. Threads may share it."""

    def __init__(self, pauses: Sequence[float] = PAUSES_SECONDS) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._pauses = pauses

    def run(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        on_line: Callable[[str], bool] = lambda _line: False,
    ) -> None:
        """Run a program to its end.

        Args:
            command: the program and its arguments.
            env: its environment, and nothing else.
            cwd: where it runs.
            on_line: told each line it writes; returns whether the line is one of progress, which
                no failure is told with.

        Raises:
            ToolError: it fails, with its last lines.
            StopPipelineError: the set-up was cancelled.
        """
        last: deque[str] = deque(maxlen=_LAST_LINES)
        with self._start(command, env, cwd) as process:
            try:
                for line in process.stdout or ():
                    if not on_line(line.rstrip()):
                        last.append(line.rstrip())
            finally:
                with self._lock:
                    self._running.discard(process)
        if process.returncode != 0:
            raise ToolError(Path(command[0]).name, process.returncode, last)

    def run_with_retries(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        on_line: Callable[[str], bool] = lambda _line: False,
    ) -> None:
        """As `run`, and again where the network failed: of a program that has no retries itself.

        It must keep what it has got. `on_line` is told of the retries, too.

        Raises:
            ToolError: it fails, at the last try or not because of the network.
            StopPipelineError: the set-up was cancelled.
        """

        def tell(_error: Exception, seconds: float) -> None:
            on_line(f"the network failed, trying again in {seconds:g} s")

        with_retries(
            lambda: self.run(command, env=env, cwd=cwd, on_line=on_line),
            should_retry=lambda error: isinstance(error, ToolError) and error.is_transient,
            pauses=self._pauses,
            pause=self._cancelled.wait,
            on_retry=tell,
        )

    @property
    def is_cancelled(self) -> bool:
        """Whether nothing more is started."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End what runs, and start nothing more."""
        with self._lock:
            self._cancelled.set()
            for process in self._running:
                process.terminate()

    def _start(
        self, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path | None
    ) -> subprocess.Popen[str]:
        with self._lock:
            if self.is_cancelled:
                message = "The set-up was cancelled. Run the same command again to continue."
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


def uv_environment() -> dict[str, str]:
    """The environment for uv: the caller's, with as many retries as a set-up should have."""
    return {"UV_HTTP_RETRIES": _UV_RETRIES} | process_environment()


def uv_install(tools: Tools, uv: Path, lock: Path, target: Path) -> None:
    """Install a hash-locked requirement file into a folder."""
    tools.run(
        [
            uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", target,
            "--require-hashes", "--no-deps", "--requirement", lock,
        ],
        env=uv_environment(),
    )  # fmt: skip


def _failure(name: str, status: int, last: Sequence[str], *, is_network: bool) -> str:
    if is_network:
        told = "; ".join(line.strip() for line in last if line.strip()).rstrip(".")
        return (
            f"{told}. Is the network there? Proxies and mirrors are taken from the environment. "
            "What was fetched is kept: run the same command again."
        )
    return (
        f"{name} failed (exit status {status}):\n"
        + "\n".join(f"  {line}" for line in last)
        + "\nNothing half done will be used. Correct that, then run the same command again: it "
        "fetches only what is missing."
    )
