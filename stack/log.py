"""Reads a program's log: its end, and what is added to it, over rotations."""

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_POLL_SECONDS = 0.2


def last_lines(log: Path, count: int) -> list[str]:
    """The end of a log; nothing when there is none."""
    try:
        with log.open("rb") as file:
            return [_text(line) for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return []


def follow(log: Path, count: int) -> Iterator[str]:
    """The end of a log, then each line once it is complete, for ever. It need not exist yet."""
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
    """Go to where the last `count` complete lines begin."""
    starts: deque[int] = deque([0], maxlen=count + 1)
    while file.readline().endswith(b"\n"):
        starts.append(file.tell())
    file.seek(starts[0])
    return file


def _until_replaced(file: BinaryIO, log: Path) -> Iterator[str]:
    """Lines as they come, to the last one that was written before a rotation."""
    while True:
        # Asked before reading: what is in the file after a rotation is all that will ever be.
        is_replaced = _is_replaced(file, log)
        yield from _complete(file)
        if is_replaced:
            if rest := file.read():
                yield _text(rest)
            return
        time.sleep(_POLL_SECONDS)


def _complete(file: BinaryIO) -> Iterator[str]:
    """What is there of complete lines; half a line is left for the next time."""
    while (line := file.readline()).endswith(b"\n"):
        yield _text(line)
    file.seek(-len(line), os.SEEK_CUR)


def _is_replaced(file: BinaryIO, log: Path) -> bool:
    """Whether the log begins again elsewhere, or here, for it was cut to nothing."""
    now = os.fstat(file.fileno())
    try:
        return not os.path.samestat(now, log.stat()) or now.st_size < file.tell()
    except FileNotFoundError:
        return False


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r\n")
