"""Errors, sorted by the caller's next step. Messages say where, which value, and what to do."""


class PipelineError(Exception):
    """Anything this project raises on purpose."""


class StopPipelineError(PipelineError):
    """Going on would lose or falsify data, or a person has to act: stop, and show the message."""


class RetryLaterError(PipelineError):
    """A service is away or busy: back off and do the same again."""


class QuarantineRecordError(PipelineError):
    """One record cannot be used: set it aside with the reason, go on with the others."""
