"""Reads a program's log: its end, and what is added to it, over rotations."""

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

_POLL_SECONDS = 0.2


def last_lines(log: Path, count: int) -> list[str]:
    """The end of a log; nothing when there is none."""
    try:
        with log.open(errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return []


def follow(log: Path, count: int) -> Iterator[str]:
    """The end of a log, then each line as it is written, for ever."""
    log.touch()
    file = log.open(errors="replace")
    try:
        yield from (line.rstrip("\n") for line in deque(file, maxlen=count))
        while True:
            if line := file.readline():
                yield line.rstrip("\n")
            elif log.exists() and log.stat().st_ino != os.fstat(file.fileno()).st_ino:
                file.close()  # rotated: what is new is in a new file
                file = log.open(errors="replace")
            else:
                time.sleep(_POLL_SECONDS)
    finally:
        file.close()
