"""Processes that share the work of a command on one machine: `python -m batch.processes` is one.

What validates a batch uses little more than one core, however many there are.
"""

import pickle
import sys
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar

from batch.child import Child, EndedError, pipes, serve
from lakehouse.environment import process_environment
from lakehouse.errors import RetryLaterError
from lakehouse.settings import BatchSettings, cores

T = TypeVar("T")
R = TypeVar("R")
_TO_RETRY = (
    "Run the same command again. If it ends so each time, it lacks memory: lower BATCH_PROCESSES "
    "or CONSOLIDATION_CHUNK_ROWS."
)


def _kill(children: list[Child]) -> None:
    while children:
        children.pop().kill()


class Processes:
    """Child processes, started when the first function is called. They end with this object."""

    def __init__(self, count: int) -> None:
        """Set how many there are at most; with one, functions are called in this process."""
        self.count = count
        self._children: list[Child] = []
        self._idle: SimpleQueue[Child] = SimpleQueue()
        weakref.finalize(self, _kill, self._children)

    @classmethod
    def of_settings(cls) -> "Processes":
        """Return as many as BATCH_PROCESSES says."""
        return cls(BatchSettings().processes)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Call a function with each item, and yield the results in the order of the items.

        Args:
            function: it, items and results can be pickled. A process keeps it from call to call.
            items: a single one is given to this process.

        Raises:
            RetryLaterError: a process was killed.
            Exception: of the function.
        """
        chosen = list(items)
        if min(self.count, len(chosen)) <= 1:
            yield from map(function, chosen)
            return
        content = pickle.dumps(function)
        while len(self._children) < min(self.count, len(chosen)):
            self._start()
        waiting, calls = iter(chosen), deque[Future[Any]]()
        with ThreadPoolExecutor(len(self._children)) as pool:
            try:
                # Few at a time, or the results of all would be in memory behind a slow one.
                for one in islice(waiting, 2 * len(self._children)):
                    calls.append(pool.submit(self._call, content, one))
                while calls:
                    found = calls.popleft().result()
                    for one in islice(waiting, 1):
                        calls.append(pool.submit(self._call, content, one))
                    yield found
            except BaseException:
                for call in calls:
                    call.cancel()
                self.close()
                raise

    def close(self) -> None:
        """End them at once."""
        _kill(self._children)
        self._idle = SimpleQueue()

    def _start(self) -> None:
        # Each with its share of the cores: threads of several that compete for one slow all down.
        threads = max(1, cores() // self.count)
        environment = process_environment() | {"POLARS_MAX_THREADS": f"{threads}"}
        child = Child(sys.executable, __name__, environment)
        self._children.append(child)
        self._idle.put(child)

    def _call(self, content: bytes, item: object) -> Any:  # noqa: ANN401 - of the function
        idle = self._idle
        child = idle.get()
        try:
            found, trace = child.ask((content, item))
        except EndedError as error:
            problem = f"A process of this command ended with {error}"
            raise RetryLaterError(problem, _TO_RETRY) from None
        finally:
            idle.put(child)
        if trace:
            raise found from _ThereError(trace)
        return found


class _ThereError(Exception):
    """Where a function was in another process when it raised an error."""


ALONE = Processes(1)
"""This process."""


@lru_cache(maxsize=1)
def _function(content: bytes) -> Callable[[Any], Any]:
    function: Callable[[Any], Any] = pickle.loads(content)  # noqa: S301 - of our own parent
    return function


def _answer(question: tuple[bytes, Any]) -> tuple[Any, str]:
    """Return the function's result; or its error, and where it was raised."""
    content, item = question
    try:
        return _function(content)(item), ""
    except Exception as error:  # noqa: BLE001 - raised where the function was called
        return error, traceback.format_exc()


if __name__ == "__main__":
    with pipes() as (given, told):
        serve(given, told, _answer)
