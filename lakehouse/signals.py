"""Signals that stop a long-running program."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` on SIGTERM and SIGINT."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()

    for number in _STOPPING:
        signal.signal(number, on_signal)


@contextmanager
def stopping_on_signals() -> Iterator[Event]:
    """Yield an event that SIGINT or SIGTERM sets, so that work in progress can be finished.

    A second signal interrupts.
    """
    stopping = Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()
        for number in before:
            signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, stop) for number in _STOPPING}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
