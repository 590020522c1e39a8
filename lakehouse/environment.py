"""The environment: read here only, and stood in for without being changed.

C's `setenv` moves the very memory that `getenv` reads in another thread. librdkafka, delta-rs and
Arrow have threads of their own that do, so nothing in this project changes the process'
environment: whoever needs another one says so with `environment_of`.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_stand_in: ContextVar[Mapping[str, str] | None] = ContextVar("environment", default=None)


def environment() -> Mapping[str, str]:
    """The variables that count now."""
    stand_in = _stand_in.get()
    return os.environ if stand_in is None else stand_in


@contextmanager
def environment_of(values: Mapping[str, str]) -> Iterator[None]:
    """Within, in this thread, settings are read from these variables and no others."""
    token = _stand_in.set(dict(values))
    try:
        yield
    finally:
        _stand_in.reset(token)


def process_environment() -> dict[str, str]:
    """The environment for a child process: a copy."""
    return dict(environment())


def home() -> Path:
    """The caller's home directory."""
    return Path(environment().get("HOME") or Path.home())


def expand_home(path: Path) -> Path:
    """`~` at the beginning stands for the caller's home, `~name` for that of another user.

    Raises:
        RuntimeError: there is no such user.
    """
    if path.parts[:1] == ("~",):
        return home().joinpath(*path.parts[1:])
    return path.expanduser()
