"""What hinders a service, sorted by what the caller does next, and the words for it.

Who knows a library's errors sorts them: `lakehouse.postgres`, `lakehouse.delta`, `lakehouse.kafka`.
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
    """Kinds, each with an error and words of its own."""

    AWAY = "away"
    """The service cannot be reached, or is starting or ending."""
    BUSY = "busy"
    """Others hold locks, connections, or commit at the same time."""
    FULL = "full"
    """It lacks disk or memory."""
    GONE = "gone"
    """It is up, and what was asked for is not there: not yet, or not any more."""
    DATA = "data"
    """A value is not one that it can hold."""
    RIGHTS = "rights"
    """It does not let this user in, or not do this."""
    SCHEMA = "schema"
    """It lacks what this version expects, or does not understand what it was asked."""
    BROKEN = "broken"
    """It is damaged, or fails by itself."""

    @property
    def passes(self) -> bool:
        """Whether doing the same again may help."""
        return issubclass(_ERRORS[self], RetryLaterError)


class Service(StrEnum):
    """What can be in trouble, by the name that `./pipeline up` and `logs` know."""

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
    Trouble.BUSY: "{title} is up, and others hold this up",
    Trouble.FULL: "{title} has no room left",
    Trouble.GONE: "{title} is up, and does not have what was asked for",
    Trouble.DATA: "{title} cannot hold a value",
    Trouble.RIGHTS: "{title} does not allow it",
    Trouble.SCHEMA: "{title} is not as this version expects it",
    Trouble.BROKEN: "{title} fails by itself",
}
_THEN: Mapping[Trouble, str] = {
    Trouble.AWAY: "Is it up? ./pipeline status",
    Trouble.BUSY: "That passes: try again.",
    Trouble.FULL: "Free disk or memory where it runs (./pipeline doctor), then do the same again.",
    Trouble.GONE: "Do the same again; if it stays so: ./pipeline doctor",
    Trouble.DATA: "The same again does not help: the value, or the contract that let it pass, has "
    "to be mended.",
    Trouble.RIGHTS: "./pipeline up {service} sets its users and their rights.",
    Trouble.SCHEMA: "./pipeline up {service} brings it up to date.",
    Trouble.BROKEN: "./pipeline logs {service} has its own words.",
}


def told(
    trouble: Trouble,
    service: Service,
    what: str,
    error: object,
    *,
    then: Mapping[Trouble, str] | None = None,
) -> PipelineError:
    """An error that says what cannot be done, why, and what to do about it.

    Args:
        trouble: its kind.
        service: which is in trouble.
        what: cannot be done, as the beginning of a sentence.
        error: the library's.
        then: ways out that are better than the usual ones, by kind.
    """
    says = _SAYS[trouble].format(title=_TITLES[service])
    way_out = (then or {}).get(trouble) or _THEN[trouble].format(service=service.value)
    return _ERRORS[trouble](f"{what}: {says}: {plain(error).rstrip('.')}", way_out)


def again(way_out: str) -> Mapping[Trouble, str]:
    """For `told`: the same way out for all that passes."""
    return {trouble: way_out for trouble in Trouble if trouble.passes}


def plain(error: object) -> str:
    """An error's text and notes on one line, without the colours that some bring along."""
    notes = getattr(error, "__notes__", ())
    text = re.sub(r"\x1b\[[0-9;]*m", "", " ".join([str(error), *notes]))
    return " ".join(text.split())
