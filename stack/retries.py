"""Retries over the network. Of the standard library alone: `kafka/fetch.py` imports it."""

import re
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

_Result = TypeVar("_Result")

PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Pauses between tries, in seconds: six tries over half a minute."""

_TRANSIENT = re.compile(
    r"dns error|failed to (?:resolve|lookup)|name resolution|no such host|server misbehaving"
    r"|(?<![\w.])time(?:d |-)?out\b(?!\.\w)|: EOF$|handshake eof|GOAWAY"
    r"|connection (?:reset|refused|closed|aborted|broken)|broken pipe"
    r"|network is unreachable|no route to host|unexpected eof|incompleteread|stream error"
    r"|error sending request|\b(?:408|429|5\d\d) (?:(?:client|server) error"
    r"|request time|too many|internal|bad gateway|service unavail|gateway time)",
    re.IGNORECASE | re.MULTILINE,
)


def is_transient(told: str) -> bool:
    """Return whether a program's output shows a network error, which may be transient.

    Permanent errors are not: a missing file, one that differs from its lock, a full disk.
    """
    return _TRANSIENT.search(told) is not None


def with_retries(
    attempt: Callable[[], _Result],
    *,
    should_retry: Callable[[Exception], bool],
    pauses: Sequence[float] = PAUSES_SECONDS,
    pause: Callable[[float], object] | None = None,
    on_retry: Callable[[Exception, float], None] = lambda _error, _seconds: None,
) -> _Result:
    """Call `attempt` until it succeeds, at most once more than there are pauses.

    Args:
        attempt: the function to call; it should keep partial results for the next try.
        should_retry: whether an error may be transient; any other is raised at once.
        pauses: seconds between the tries.
        pause: function that waits, by default in this thread.
        on_retry: called with the error and the seconds until the next try.
    """
    for seconds in pauses:
        try:
            return attempt()
        except Exception as error:
            if not should_retry(error):
                raise
            on_retry(error, seconds)
        (pause or time.sleep)(seconds)
    return attempt()
