"""A process with all that it starts: when it begins, how much memory it takes, its end by force."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from lakehouse.settings import ROOT

_ASK_SECONDS = 0.2
_LONGEST_SECONDS = 900.0
_LAST_CHARACTERS = 3_000


class ProcessTree:
    """A process that was started. At the end of the block it is killed, with all its children.

    Attributes:
        started: the moment.
    """

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], begins: str, log: Path
    ) -> None:
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            command,
            env=dict(env),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._begins = re.compile(begins)
        self._log = log
        self._begun: list[float] = []
        self._peak = 0
        self._known = [psutil.Process(self._process.pid)]
        self._threads = [threading.Thread(target=work) for work in (self._read, self._measure)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def peak_rss_mb(self) -> float:
        """Its greatest resident memory so far, with that of its children."""
        return self._peak / 1024 / 1024

    def begun(self, turn: int) -> float:
        """Wait until it has told `turn` + 1 times that it begins; returns the moment."""
        self.until(lambda: len(self._begun) > turn)
        return self._begun[turn]

    def until(
        self, is_done: Callable[[], bool], *, may_end: bool = False, at_once: bool = False
    ) -> None:
        """Wait until something is done.

        Args:
            is_done: tells whether it is.
            may_end: whether the process may succeed before.
            at_once: whether to ask as often as possible.

        Raises:
            RuntimeError: the process ended before, or it takes too long.
        """
        deadline = time.monotonic() + _LONGEST_SECONDS
        while not is_done():
            status = self._process.poll()
            if status == 0 and (may_end or is_done()):
                return
            if status is not None or time.monotonic() > deadline:
                last = self._log.read_text(errors="replace")[-_LAST_CHARACTERS:]
                message = f"{self._log.stem}: exit status {status}\n{last}"
                raise RuntimeError(message)
            time.sleep(0.0 if at_once else _ASK_SECONDS)

    def kill(self) -> None:
        """Kill it and all its children, at once.

        Those known already come first: to look for others takes longer than a system may need to
        record its position.
        """
        for processes in (self._known, self._tree()):
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()

    def _tree(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _read(self) -> None:
        with self._log.open("a") as log:
            for line in self._process.stdout or ():
                if self._begins.search(line):
                    self._begun.append(time.monotonic())
                log.write(line)
                log.flush()

    def _measure(self) -> None:
        while self._process.poll() is None:
            total = 0
            self._known = self._tree() or self._known
            for process in self._known:
                with suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
            self._peak = max(self._peak, total)
            time.sleep(_ASK_SECONDS)
