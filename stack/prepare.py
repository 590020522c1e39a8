"""Set-up steps of a single service once it answers, as run in a container."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.secrets import Secrets
from stack.airflow.container import airflow_of
from stack.bootstrap import Step, steps
from stack.paths import StackConfig
from stack.superset.state import prepare_database

_RETRY_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Preparations:
    """By service: its steps, in order."""

    steps: Mapping[str, tuple[Step, ...]]

    def prepare(
        self,
        service: str,
        *,
        patience_seconds: float,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Run the steps of a service; waits for services that are not ready yet.

        Raises:
            StopPipelineError: there is no such service, or a step fails.
            RetryLaterError: a service that a step needs does not answer in time.
        """
        if service not in self.steps:
            message = (
                f"There is nothing to prepare for {service!r}, only for {', '.join(self.steps)}."
            )
            raise StopPipelineError(message)
        deadline = time.monotonic() + patience_seconds
        for step in self.steps[service]:
            while not _is_done(step, is_last_try=time.monotonic() > deadline):
                sleep(_RETRY_SECONDS)


def preparations(config: StackConfig, secrets: Secrets) -> Preparations:
    """Return the set-up steps of all services.

    A program's own database in the warehouse's server is created in a separate step, since the
    program's container does not have the administrator's password.
    """
    found: dict[str, list[Step]] = {}
    for step in steps(config, secrets):
        found.setdefault(step.service, []).append(step)
    found["superset-database"] = [
        Step(
            service="superset-database",
            name="database",
            do=lambda: prepare_database(config.warehouse, secrets),
        )
    ]
    found["airflow-database"] = [
        Step(
            service="airflow-database",
            name="database",
            do=lambda: airflow_of(config, secrets).prepare(),
        )
    ]
    return Preparations(steps={name: tuple(steps) for name, steps in found.items()})


def _is_done(step: Step, *, is_last_try: bool) -> bool:
    try:
        step.do()
    except RetryLaterError:
        if is_last_try:
            raise
        return False
    return True
