"""The environment: read only here, and overridden without being changed.

C's `setenv` modifies memory that `getenv` may be reading in another thread. librdkafka, delta-rs
and Arrow have such threads, so nothing in this project changes the process' environment:
`environment_of` overrides it instead.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_stand_in: ContextVar[Mapping[str, str] | None] = ContextVar("environment", default=None)


def environment() -> Mapping[str, str]:
    """Return the variables in effect."""
    stand_in = _stand_in.get()
    return os.environ if stand_in is None else stand_in


@contextmanager
def environment_of(values: Mapping[str, str]) -> Iterator[None]:
    """Let settings in this thread read these variables, and no others, within the block."""
    token = _stand_in.set(dict(values))
    try:
        yield
    finally:
        _stand_in.reset(token)


def process_environment() -> dict[str, str]:
    """Return a copy of the process' environment, for a child process."""
    return dict(environment())


def home() -> Path:
    """Return the caller's home directory."""
    return Path(environment().get("HOME") or Path.home())


def absolute(path: Path) -> Path:
    """Return a path that holds in any directory: `~` is expanded, the current directory prefixed.

    Raises:
        RuntimeError: there is no such user.
    """
    return expand_home(path).absolute()


def expand_home(path: Path) -> Path:
    """Expand a leading `~` to the caller's home, or `~name` to that of another user.

    Raises:
        RuntimeError: there is no such user.
    """
    if path.parts[:1] == ("~",):
        return home().joinpath(*path.parts[1:])
    return path.expanduser()
