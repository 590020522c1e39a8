"""Progress of named steps: a live display on a terminal, plain lines otherwise."""

import threading
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import TaskID as Task

_SECONDS_BETWEEN_LINES = 15
"""Minimum seconds between two lines of one step without live display."""


def silent() -> "Steps":
    """Steps without output."""
    return Steps(Console(quiet=True))


class Steps:
    """Display of concurrent named steps. Thread-safe."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._lock = threading.RLock()
        self._tasks: dict[str, Task] = {}
        self._begun: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._live: Progress | None = None
        if self._console.is_terminal:
            self._live = Progress(
                SpinnerColumn(finished_text="[green]✓[/]"),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[text]}", style="dim"),
                TimeElapsedColumn(),
                console=self._console,
            )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def note(self, text: str) -> None:
        """Print a note."""
        self._console.print(text, markup=False, emoji=False, soft_wrap=True)

    def begin(self, name: str, text: str = "") -> None:
        """Report the start of a step."""
        with self._lock:
            self._begun[name] = self._told[name] = time.monotonic()
            if self._live:
                self._tasks[name] = self._live.add_task(name, total=None, text=text)
            else:
                self._line(name, text or "begins")

    def advance(self, name: str, text: str, *, done: int | None = None, of: int = 0) -> None:
        """Report progress of a step: `done` out of `of` items, if they can be counted."""
        with self._lock:
            if self._live:
                self._live.update(self._tasks[name], text=text, completed=done, total=of or None)
            elif time.monotonic() - self._told[name] >= _SECONDS_BETWEEN_LINES:
                self._told[name] = time.monotonic()
                self._line(name, text)

    def finish(self, name: str, text: str = "done") -> None:
        """Report the end of a step."""
        with self._lock:
            if self._live:
                self._live.update(self._tasks[name], text=text, completed=1, total=1)
            else:
                self._line(name, f"{text} ({time.monotonic() - self._begun[name]:.1f} s)")

    def _line(self, name: str, text: str) -> None:
        self._console.print(f"{name}: {text}", markup=False, emoji=False, soft_wrap=True)
