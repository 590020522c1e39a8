"""Steps as Airflow tasks: retryable errors are retried, others fail the task at once."""

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from lakehouse.errors import RetryLaterError

P = ParamSpec("P")
R = TypeVar("R")
_log = logging.getLogger(__name__)


def step(do: Callable[P, R]) -> Callable[P, R]:
    """Map errors for Airflow: `RetryLaterError` is retried, as often as the task allows.

    Any other error would recur, so it fails the task without a retry.
    """

    @functools.wraps(do)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return do(*args, **kwargs)
        except RetryLaterError as error:
            _log.warning("Will be retried: %s", error)
            raise
        except (AirflowFailException, AirflowSkipException):
            raise
        except Exception as error:
            _log.error("%s", error)
            raise AirflowFailException(str(error)) from error

    return run


def tell(what: str) -> None:
    """Write the progress of a step to the task's log."""
    _log.info("%s", what)


def warn(what: str) -> None:
    """Write a warning to the task's log; the step continues."""
    _log.warning("%s", what)
