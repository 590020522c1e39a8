"""Errors, sorted by the caller's next step. Messages say where, which value, and what to do."""

from typing import ClassVar


class PipelineError(Exception):
    """Anything this project raises on purpose. Its text is the problem, then the action.

    Attributes:
        problem: what is wrong, where, which value; without an action, the whole message.
        action: what to do about it.
        exit_status: of a command that ends with it.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, problem: str = "", action: str = "") -> None:
        super().__init__(f"{problem}. {action}" if action else problem)
        self.problem = problem
        self.action = action


class StopPipelineError(PipelineError):
    """Going on would lose or falsify data, or a person has to act: stop, and show the message."""

    exit_status = 3


class WrongArgumentError(StopPipelineError):
    """Somebody asked for what makes no sense: nothing was begun, nor recorded."""

    exit_status = 2


class RetryLaterError(PipelineError):
    """A service is away or busy: back off and do the same again."""


class BusyError(RetryLaterError):
    """Another program of ours is at work: wait for its end, and do the same again."""


class AwayError(RetryLaterError):
    """A service cannot be reached, or is starting or ending: wait for it."""


class CrowdedError(RetryLaterError):
    """A service is up, and others hold its locks or its connections: that passes."""


class FullError(RetryLaterError):
    """A service lacks disk or memory: it does the same again once somebody has made room."""


class GoneError(RetryLaterError):
    """A service is up, and what was asked for is not there: look anew."""


class DataRefusedError(StopPipelineError):
    """A value is not one that a service can hold: the same again does not help."""


class NotAllowedError(StopPipelineError):
    """A service does not let this user do it: set up its rights."""


class SchemaDiffersError(StopPipelineError):
    """A service lacks what this version expects: bring it up to date."""


class BrokenError(StopPipelineError):
    """A service is damaged, or fails by itself: see its log."""


class QuarantineRecordError(PipelineError):
    """One record cannot be used: set it aside with the reason, go on with the others."""
