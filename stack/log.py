"""Reader of a program's log: last lines and new ones, across rotations."""

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_POLL_SECONDS = 0.2


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines of a log; empty if there is no file."""
    try:
        with log.open("rb") as file:
            return [_text(line) for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return []


def follow(log: Path, count: int) -> Iterator[str]:
    """Yield the last lines of a log, then new ones, without end. The file may not exist yet."""
    skip = True
    while True:
        try:
            with log.open("rb") as file:
                if skip:
                    yield from _complete(_seek_end(file, count))
                yield from _until_replaced(file, log)
        except FileNotFoundError:
            time.sleep(_POLL_SECONDS)
        skip = False


def _seek_end(file: BinaryIO, count: int) -> BinaryIO:
    """Seek to the start of the last `count` complete lines."""
    starts: deque[int] = deque([0], maxlen=count + 1)
    while file.readline().endswith(b"\n"):
        starts.append(file.tell())
    file.seek(starts[0])
    return file


def _until_replaced(file: BinaryIO, log: Path) -> Iterator[str]:
    """Yield new lines until the file was rotated and read to its end."""
    while True:
        # Checked before reading: after a rotation nothing is added to the old file.
        is_replaced = _is_replaced(file, log)
        yield from _complete(file)
        if is_replaced:
            if rest := file.read():
                yield _text(rest)
            return
        time.sleep(_POLL_SECONDS)


def _complete(file: BinaryIO) -> Iterator[str]:
    """Return the complete lines; an incomplete one is read the next time."""
    while (line := file.readline()).endswith(b"\n"):
        yield _text(line)
    file.seek(-len(line), os.SEEK_CUR)


def _is_replaced(file: BinaryIO, log: Path) -> bool:
    """Return whether the file was replaced or truncated."""
    now = os.fstat(file.fileno())
    try:
        return not os.path.samestat(now, log.stat()) or now.st_size < file.tell()
    except FileNotFoundError:
        return False


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r\n")
