"""A child process of this project: it answers questions, and ends with the process that asks.

Questions and answers are pickled, through pipes, so that what is secret in them is in no file.
"""

import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from lakehouse.settings import ROOT

_LINES = 8
_SECONDS_TO_END = 20
Answer = Callable[[Any], Any]


class EndedError(Exception):
    """A child process has ended: with which status, and what it said last."""


class Child:
    """A process that runs a module of this project, which answers one question at a time."""

    def __init__(self, python: str, module: str, environment: Mapping[str, str]) -> None:
        """Start it.

        Raises:
            OSError: there is no such Python.
        """
        self._log = tempfile.NamedTemporaryFile(prefix="child-")  # noqa: SIM115 - as long as this
        self._process = subprocess.Popen(
            [python, "-P", "-m", module],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def ask(self, question: object) -> Any:  # noqa: ANN401 - whatever it answers
        """Return its answer.

        Raises:
            EndedError: it has ended.
        """
        try:
            self._send(question)
            return pickle.load(self._pipes[1])  # noqa: S301 - of our own child
        except (EOFError, OSError, pickle.UnpicklingError):
            message = f"status {self._process.wait()}: {self.last_lines}"
            raise EndedError(message) from None

    def end(self) -> None:
        """Let it end by itself."""
        with suppress(OSError, subprocess.TimeoutExpired):
            self._send(None)
            self._pipes[0].close()
            self._process.wait(_SECONDS_TO_END)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.close()
        self._log.close()

    @property
    def last_lines(self) -> str:
        """Return the last lines of its log, without the places of Java's traces."""
        lines = Path(self._log.name).read_text(errors="replace").splitlines()
        return " / ".join([one for one in lines if not one.lstrip().startswith("at ")][-_LINES:])

    def _send(self, question: object) -> None:
        pickle.dump(question, self._pipes[0])
        self._pipes[0].flush()

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        given, told = self._process.stdin, self._process.stdout
        if given is None or told is None:
            message = "it was started with pipes"
            raise AssertionError(message)
        return given, told


@contextmanager
def pipes() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Yield where questions come from, and where answers go to. What is printed goes to the log."""
    with os.fdopen(os.dup(1), "wb") as told:
        os.dup2(2, 1)
        yield sys.stdin.buffer, told


def serve(given: IO[bytes], told: IO[bytes], answer: Answer) -> None:
    """Answer questions until None comes; end this process if the one that asks is gone."""
    questions: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=receive, args=[questions, given], daemon=True).start()
    while (question := questions.get()) is not None:
        pickle.dump(answer(question), told)
        told.flush()


def receive(questions: "SimpleQueue[Any]", given: IO[bytes]) -> None:
    """Pass on what comes; end this process if nothing more can."""
    with suppress(EOFError, OSError):
        while True:
            question = pickle.load(given)  # noqa: S301 - of the process that asks
            questions.put(question)
            if question is None:
                return
    os._exit(1)
