"""Kinds of trouble with a service, each with its error and the words for it.

The modules that know a library's errors classify them: `lakehouse.postgres`, `lakehouse.delta`,
`lakehouse.kafka`.
"""

import re
from collections.abc import Mapping
from enum import StrEnum

from lakehouse.errors import (
    AwayError,
    BrokenError,
    CrowdedError,
    DataRefusedError,
    FullError,
    GoneError,
    NotAllowedError,
    PipelineError,
    RetryLaterError,
    SchemaDiffersError,
)


class Trouble(StrEnum):
    """Kinds, each with its own error and message."""

    AWAY = "away"
    """The service cannot be reached, or is starting or stopping."""
    BUSY = "busy"
    """Others hold locks or connections, or commit at the same time."""
    FULL = "full"
    """It lacks disk or memory."""
    GONE = "gone"
    """It is up, but the requested object does not exist, yet or any more."""
    DATA = "data"
    """It cannot store a value."""
    RIGHTS = "rights"
    """It denies this user a login or a permission."""
    SCHEMA = "schema"
    """It lacks what this version expects, or does not understand the request."""
    BROKEN = "broken"
    """It is damaged, or fails internally."""

    @property
    def passes(self) -> bool:
        """Return whether a retry may help."""
        return issubclass(_ERRORS[self], RetryLaterError)


class Service(StrEnum):
    """A service that can be in trouble, with the name that `./pipeline up` and `logs` use."""

    SHOP = "oltp"
    WAREHOUSE = "warehouse"
    STORE = "minio"
    KAFKA = "kafka"


_ERRORS: Mapping[Trouble, type[PipelineError]] = {
    Trouble.AWAY: AwayError,
    Trouble.BUSY: CrowdedError,
    Trouble.FULL: FullError,
    Trouble.GONE: GoneError,
    Trouble.DATA: DataRefusedError,
    Trouble.RIGHTS: NotAllowedError,
    Trouble.SCHEMA: SchemaDiffersError,
    Trouble.BROKEN: BrokenError,
}
_TITLES: Mapping[Service, str] = {
    Service.SHOP: "the shop's database",
    Service.WAREHOUSE: "the warehouse",
    Service.STORE: "the object store",
    Service.KAFKA: "Kafka",
}
_SAYS: Mapping[Trouble, str] = {
    Trouble.AWAY: "{title} does not answer",
    Trouble.BUSY: "{title} is up, but other sessions block this",
    Trouble.FULL: "{title} has no room left",
    Trouble.GONE: "{title} is up, and does not have what was asked for",
    Trouble.DATA: "{title} cannot store a value",
    Trouble.RIGHTS: "{title} does not allow it",
    Trouble.SCHEMA: "{title} is not as this version expects it",
    Trouble.BROKEN: "{title} fails internally",
}
_THEN: Mapping[Trouble, str] = {
    Trouble.AWAY: "Is it up? ./pipeline status",
    Trouble.BUSY: "That passes: try again.",
    Trouble.FULL: "Free disk or memory where it runs (./pipeline doctor), then try again.",
    Trouble.GONE: "Try again; if it persists: ./pipeline doctor",
    Trouble.DATA: "A retry does not help: correct the value, or the contract that accepted it.",
    Trouble.RIGHTS: "./pipeline up {service} sets its users and their rights.",
    Trouble.SCHEMA: "./pipeline up {service} brings it up to date.",
    Trouble.BROKEN: "./pipeline logs {service} shows its own messages.",
}


def told(
    trouble: Trouble,
    service: Service,
    what: str,
    error: object,
    *,
    then: Mapping[Trouble, str] | None = None,
) -> PipelineError:
    """Build an error that states what failed, why, and what to do about it.

    Args:
        trouble: the kind of trouble.
        service: the service in trouble.
        what: what failed, as the beginning of a sentence.
        error: the library's.
        then: more specific actions than the usual ones, by kind.
    """
    says = _SAYS[trouble].format(title=_TITLES[service])
    way_out = (then or {}).get(trouble) or _THEN[trouble].format(service=service.value)
    return _ERRORS[trouble](f"{what}: {says}: {plain(error).rstrip('.')}", way_out)


def again(way_out: str) -> Mapping[Trouble, str]:
    """Return a `then` for `told` with the same action for all kinds that pass."""
    return {trouble: way_out for trouble in Trouble if trouble.passes}


def plain(error: object) -> str:
    """Return an error's text and notes on one line, without terminal colours."""
    notes = getattr(error, "__notes__", ())
    text = re.sub(r"\x1b\[[0-9;]*m", "", " ".join([str(error), *notes]))
    return " ".join(text.split())
