"""A simulator of another shop: a script beside its mapping, in a process of its own.

The script gets `--history`, `--minutes`, `--orders-per-second` and `--seed` as `simulate` does, the
database in libpq's variables, and prints a line of JSON after each step: `orders`, `rows`.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from psycopg.conninfo import conninfo_to_dict

from lakehouse.contracts.mapping import mapping_path
from lakehouse.environment import process_environment
from lakehouse.errors import StopPipelineError, WrongArgumentError
from producers.meter import Measurement
from producers.plan import Plan

_POLL_SECONDS = 0.5
_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedSimulator:
    """Runs a script until it ends, or is told to.

    Attributes:
        path: of the script.
        dsn: the shop's database, as the role that sells.
    """

    path: Path
    dsn: str

    def run(
        self,
        plan: Plan,
        *,
        stopping: Event,
        on_progress: Callable[[Measurement], None] = lambda _: None,
    ) -> None:
        """Execute the plan, until it is done or `stopping` is set.

        Raises:
            StopPipelineError: the script fails.
        """
        parts = conninfo_to_dict(self.dsn)
        given = {name: str(parts[part]) for part, name in _VARIABLES.items() if parts.get(part)}
        with (
            subprocess.Popen(
                [sys.executable, self.path, *arguments(plan)],
                stdout=subprocess.PIPE,
                text=True,
                env=process_environment() | given,
            ) as process,
            _ended_when(stopping, process),
        ):
            for measurement in self._measured(process.stdout or (), plan):
                on_progress(measurement)
        if process.returncode and not stopping.is_set():
            problem = f"{self.path} ended with status {process.returncode}"
            raise StopPipelineError(problem, "Its error is above.")

    def _measured(self, lines: Iterable[str], plan: Plan) -> Iterator[Measurement]:
        began, told = monotonic(), 0.0
        for line in lines:
            seconds = max(monotonic() - began, 1e-6)
            if told and seconds < told + _POLL_SECONDS:
                continue
            told, (orders, rows) = seconds, self._counts(line)
            yield Measurement(
                orders=orders,
                orders_per_second=orders / seconds,
                rows_per_second=rows / seconds,
                asked=plan.live.orders_per_second if plan.live else None,
                instant=datetime.now(UTC),
                slot_share=0.0,
            )

    def _counts(self, line: str) -> tuple[int, int]:
        try:
            said = json.loads(line)
            return int(said["orders"]), int(said["rows"])
        except (ValueError, KeyError, TypeError) as error:
            problem = f"{self.path} printed {line.strip()[:200]!r}"
            action = 'Each line has to be JSON, such as {"orders": 2, "rows": 9}.'
            raise StopPipelineError(problem, action) from error


def require_own_shop() -> None:
    """Refuse our own shop's simulator where there is a mapping, which is of another shop.

    Raises:
        WrongArgumentError: there is one.
    """
    path = mapping_path()
    if path.is_file():
        problem = f"The simulator sells in our own shop only, and {path} is of another"
        raise WrongArgumentError(problem, "Its own script sells there: demo --source FOLDER.")


def arguments(plan: Plan) -> list[str]:
    """Return what the script gets for a plan."""
    given: dict[str, float | None] = {"seed": plan.seed}
    if plan.history is not None:
        given["history"] = plan.history.days
    if plan.live is not None:
        given["orders-per-second"] = plan.live.orders_per_second
        given["minutes"] = plan.live.minutes
    return [f"--{name}={value}" for name, value in given.items() if value is not None]


@contextmanager
def _ended_when(stopping: Event, process: subprocess.Popen[str]) -> Iterator[None]:
    is_over = Event()

    def end() -> None:
        while not is_over.wait(0.2):
            if stopping.is_set():
                process.terminate()
                return

    watch = Thread(target=end, name="end of the script")
    watch.start()
    try:
        yield
    except BaseException:
        process.terminate()
        raise
    finally:
        is_over.set()
        watch.join()
