"""Parallel execution of all checks, with a time limit."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextvars import copy_context

from stack.doctor.measurements import Measurements
from stack.doctor.model import Check
from stack.findings import Finding, Said, unchecked

_LONGEST = 300


def examine(
    checks: Sequence[Check], measurements: Measurements, *, limit_seconds: float
) -> list[Finding]:
    """Run all checks; returns their findings in order.

    A check that raises or exceeds the limit is reported as not checked; the others continue.
    """
    deadline = time.monotonic() + limit_seconds
    begun = [(check, _begin(check, measurements)) for check in checks]
    return [
        Finding(
            area=check.area, title=check.title,
            verdict=said.verdict, words=said.words, remedy=said.remedy,
        )
        for check, future in begun
        for said in _wait(future, deadline, limit_seconds)
    ]  # fmt: skip


def _begin(check: Check, measurements: Measurements) -> "Future[Sequence[Said]]":
    future: Future[Sequence[Said]] = Future()

    def look() -> None:
        future.set_result(_run(check, measurements))

    # Not a thread pool: at exit Python would wait for a hanging thread.
    threading.Thread(target=copy_context().run, args=(look,), daemon=True).start()
    return future


def _run(check: Check, measurements: Measurements) -> Sequence[Said]:
    try:
        away = measurements.not_ready(check.needs)
        if away:
            return [unchecked(_not_up(away))]
        return check.run(measurements)
    except Exception as error:  # noqa: BLE001 - no error may prevent the report
        return [unchecked(_in_a_line(error))]


def _not_up(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last} are not up" if others else f"{last} is not up"


def _wait(
    future: "Future[Sequence[Said]]", deadline: float, limit_seconds: float
) -> Sequence[Said]:
    try:
        return future.result(timeout=max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        return [unchecked(f"no answer within {limit_seconds:.0f} s")]


def _in_a_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
