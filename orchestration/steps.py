"""A step as a task of Airflow: what may be tried again is, the rest fails with what to do."""

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from airflow.sdk.exceptions import AirflowFailException

from lakehouse.errors import RetryLaterError

P = ParamSpec("P")
R = TypeVar("R")
_log = logging.getLogger(__name__)


def step(do: Callable[P, R]) -> Callable[P, R]:
    """Sort its errors for Airflow: `RetryLaterError` is tried again, as often as the task says.

    Any other error would come back, so it fails the task at once.
    """

    @functools.wraps(do)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return do(*args, **kwargs)
        except RetryLaterError as error:
            _log.warning("Tried again later: %s", error)
            raise
        except AirflowFailException:
            raise
        except Exception as error:
            _log.error("%s", error)
            raise AirflowFailException(str(error)) from error

    return run


def tell(what: str) -> None:
    """Progress of a step, for the task's log."""
    _log.info("%s", what)


def warn(what: str) -> None:
    """Something that a person should look at, though the step goes on; for the task's log."""
    _log.warning("%s", what)
