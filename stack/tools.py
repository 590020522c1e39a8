"""Runner of programs of the set-up, with output line by line and retries of network errors."""

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lakehouse.environment import process_environment
from lakehouse.errors import StopPipelineError
from stack.retries import PAUSES_SECONDS, is_transient, with_retries

_LAST_LINES = 12
_UV_RETRIES = "5"
"""Retries of uv per request, with its own back-off: about 40 s in all. Its default is 3."""


class ToolError(StopPipelineError):
    """A program has failed.

    Attributes:
        is_transient: whether the reason was a network error.
    """

    def __init__(self, name: str, status: int, last: Sequence[str]) -> None:
        self.is_transient = is_transient("\n".join(last))
        super().__init__(_failure(name, status, last, is_network=self.is_transient))


class Tools:
    """The running programs of a set-up. Thread-safe."""

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
        """Run a program and wait for it.

        Args:
            command: the program and its arguments.
            env: its complete environment.
            cwd: its working directory.
            on_line: called with each line of output; returns whether it is a progress line, which
                is left out of error messages.

        Raises:
            ToolError: it fails, with its last lines.
            StopPipelineError: the set-up was cancelled.
        """
        last: deque[str] = deque(maxlen=_LAST_LINES)
        with self.running(command, env=env, cwd=cwd) as process:
            for line in process.stdout or ():
                if not on_line(line.rstrip()):
                    last.append(line.rstrip())
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
        """Run a program as `run` does, and retry after network errors.

        For programs without retries of their own that keep partial results. `on_line` is also
        called for retries.

        Raises:
            ToolError: it fails at the last try, or not because of the network.
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

    @contextmanager
    def running(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        stdout: int = subprocess.PIPE,
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a program, which `cancel` ends, and wait for its end after the block.

        Raises:
            StopPipelineError: the set-up was cancelled before.
        """
        with self._lock:
            self.require_going_on()
            process = subprocess.Popen(
                [str(part) for part in command],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                umask=0o022,
            )
            self._running.add(process)
        with process:
            try:
                yield process
            finally:
                with self._lock:
                    self._running.discard(process)

    @property
    def is_cancelled(self) -> bool:
        """Whether the set-up was cancelled."""
        return self._cancelled.is_set()

    def require_going_on(self) -> None:
        """Raise StopPipelineError if the set-up was cancelled."""
        if self.is_cancelled:
            problem = "The set-up was cancelled"
            raise StopPipelineError(problem, "Run the same command again to resume it.")

    def cancel(self) -> None:
        """End running programs and prevent further starts."""
        with self._lock:
            self._cancelled.set()
            for process in self._running:
                process.terminate()


def uv_environment() -> dict[str, str]:
    """Return the environment for uv: the caller's, with more retries."""
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
            "Downloads are kept: run the same command again."
        )
    return (
        f"{name} failed (exit status {status}):\n"
        + "\n".join(f"  {line}" for line in last)
        + "\nNothing half done will be used. When that is fixed, run the same command again: it "
        "fetches only what is missing."
    )
