"""Errors, sorted by the caller's next step. Messages have the place, the value and the action."""

from collections.abc import Sequence
from typing import ClassVar, Self


def sentence(words: str) -> str:
    """Return words with a full stop, unless they end with another mark."""
    return words if words.endswith((".", "?", "!")) else f"{words}."


class Problem(str):
    """A problem, then what to do about it, as one text.

    Attributes:
        problem: what is wrong, without a full stop; the whole text if there is no action.
        action: what to do about it.
    """

    __slots__ = ("action", "problem")
    problem: str
    action: str

    def __new__(cls, problem: str, action: str = "") -> Self:
        """Join both to one text."""
        self = super().__new__(cls, f"{sentence(problem)} {action}" if action else problem)
        self.problem, self.action = problem.removesuffix("."), action
        return self


class PipelineError(Exception):
    """Any error that this project raises on purpose. Its text is the problem, then the action.

    Attributes:
        told: its text.
        exit_status: exit status of a command that ends with this error.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, problem: str = "", action: str = "") -> None:
        self.told = problem if isinstance(problem, Problem) else Problem(problem, action)
        super().__init__(self.told)


class StopPipelineError(PipelineError):
    """Continuing would lose or falsify data, or needs manual action: stop, and show the message."""

    exit_status = 3


class WrongArgumentError(StopPipelineError):
    """The request makes no sense: nothing was started or recorded."""

    exit_status = 2


class RetryLaterError(PipelineError):
    """A service is unavailable or busy: back off and retry."""


class BusyError(RetryLaterError):
    """Another of our programs holds the lock: wait for it to end, and retry."""


class AwayError(RetryLaterError):
    """A service cannot be reached, or is starting or stopping: wait for it."""


class CrowdedError(RetryLaterError):
    """A service is up, but others hold its locks or connections: retry."""


class FullError(RetryLaterError):
    """A service lacks disk or memory: retry once space has been freed."""


class GoneError(RetryLaterError):
    """A service is up, but the requested object is gone: look it up again."""


class DataRefusedError(StopPipelineError):
    """A service cannot store a value: retrying does not help."""


class NotAllowedError(StopPipelineError):
    """A service denies this user permission: set up its rights."""


class SchemaDiffersError(StopPipelineError):
    """A service's schema is not what this version expects: migrate it."""


class BrokenError(StopPipelineError):
    """A service is damaged or fails internally: see its log."""


def together(errors: Sequence[PipelineError]) -> PipelineError:
    """Return one error that tells all of them, and stops if one of them does."""
    if len(errors) == 1:
        return errors[0]
    is_final = any(isinstance(error, StopPipelineError) for error in errors)
    told = "\n".join(str(error) for error in errors)
    return StopPipelineError(told) if is_final else RetryLaterError(told)
