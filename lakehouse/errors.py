"""Errors, sorted by the caller's next step. Messages say where, which value, and what to do."""

from typing import ClassVar


class PipelineError(Exception):
    """Anything this project raises on purpose.

    Attributes:
        exit_status: of a command that ends with it.
    """

    exit_status: ClassVar[int] = 1


class StopPipelineError(PipelineError):
    """Going on would lose or falsify data, or a person has to act: stop, and show the message."""

    exit_status = 3


class RetryLaterError(PipelineError):
    """A service is away or busy: back off and do the same again."""


class BusyError(RetryLaterError):
    """Another program of ours is at work: wait for its end, and do the same again."""


class QuarantineRecordError(PipelineError):
    """One record cannot be used: set it aside with the reason, go on with the others."""
