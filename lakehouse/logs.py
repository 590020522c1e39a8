"""Structured logs on standard error: readable in a terminal, otherwise JSON; secrets masked."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from lakehouse.settings import LogSettings

_SECRET_WORDS = ("password", "secret", "token", "access_key")
_SECRET_TEXT = re.compile(
    r"""((?:password|secret|token|access_key)["']?\s*[=:]\s*["']?|://[^/\s:@]*:(?=[^\s/@]+@))[^\s"'@,&;]+""",
    re.IGNORECASE,
)
_MASK = "***"


def configure_logs(settings: LogSettings | None = None) -> None:
    """Configure structlog for this process."""
    settings = settings or LogSettings()
    as_text = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if as_text
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            mask_secrets,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def mask_secrets(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Mask the value of any key that names a secret, and passwords in texts such as DSNs."""
    for key, value in event.items():
        event[key] = _masked(key, value)
    return event


def _masked(key: str, value: object) -> object:
    if any(word in key.lower() for word in _SECRET_WORDS):
        return _MASK
    match value:
        case str() | BaseException():
            return _SECRET_TEXT.sub(rf"\1{_MASK}", str(value))
        case Mapping():
            return {name: _masked(str(name), inner) for name, inner in value.items()}
        case list() | tuple():
            return [_masked("", inner) for inner in value]
        case _:
            return value
