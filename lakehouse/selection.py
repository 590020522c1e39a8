"""Which changes are meant: offsets and times as a person gives them, and the ranges they are."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lakehouse.errors import WrongArgumentError
from lakehouse.offsets import OffsetRange

_GREATEST = 2**63 - 1
_PLACE = re.compile(r"(\d+):(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A range of changes. What is not given does not narrow it.

    Attributes:
        first: the first offset, by partition.
        last: the last offset, by partition, itself included.
        since: the first change of this instant or later, and all behind it.
        until: what is before the first change of this instant or later.

    If offsets are given for some partitions, the others are left out. A time is understood as by
    Kafka: it stands for the first offset of a partition whose record is not older.
    """

    first: Mapping[int, int] = field(default_factory=dict)
    last: Mapping[int, int] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def parsed(
        cls,
        *,
        from_offset: Iterable[str] = (),
        to_offset: Iterable[str] = (),
        from_time: str | None = None,
        to_time: str | None = None,
    ) -> "Selection":
        """From what somebody typed.

        Raises:
            WrongArgumentError: it cannot be read, or the range ends before it begins.
        """
        chosen = cls(
            first=_offsets("--from-offset", from_offset),
            last=_offsets("--to-offset", to_offset),
            since=_instant("--from-time", from_time),
            until=_instant("--to-time", to_time),
        )
        for partition in chosen.first.keys() & chosen.last.keys():
            if chosen.first[partition] > chosen.last[partition]:
                message = (
                    f"Partition {partition}: the range ends at {chosen.last[partition]}, before "
                    f"it begins at {chosen.first[partition]}. Swap --from-offset and --to-offset."
                )
                raise WrongArgumentError(message)
        if chosen.since and chosen.until and chosen.since >= chosen.until:
            message = f"Nothing lies between {chosen.since} and {chosen.until}: --to-time is later."
            raise WrongArgumentError(message)
        return chosen

    @property
    def has_offsets(self) -> bool:
        """Whether partitions are named: then only changes of the topic as it is now are meant."""
        return bool(self.first or self.last)

    def require_known(self, what: str, partitions: Iterable[int]) -> None:
        """Refuse a selection that names a partition which is not there.

        Raises:
            WrongArgumentError: which, and which there are of `what`.
        """
        known = set(partitions)
        unknown = sorted({*self.first, *self.last} - known)
        if unknown:
            message = (
                f"{what} has partitions {', '.join(map(str, sorted(known)))}, no "
                f"{', '.join(map(str, unknown))}: see --from-offset and --to-offset."
            )
            raise WrongArgumentError(message)

    def offsets(
        self, partition: int, *, end: int, since: int | None = None, until: int | None = None
    ) -> OffsetRange | None:
        """What is meant of a partition; None if nothing is.

        Args:
            partition: its number.
            end: the position behind what there is of it.
            since: what `self.since` stands for there; None where no change is of it or later.
            until: the same for `self.until`.
        """
        if self.has_offsets and partition not in {*self.first, *self.last}:
            return None
        start, stop = self.first.get(partition, 0), end
        if partition in self.last:
            stop = min(stop, self.last[partition] + 1)
        if self.since is not None:
            start = max(start, end if since is None else since)
        if self.until is not None and until is not None:
            stop = min(stop, until)
        return OffsetRange(start=start, stop=stop) if start < stop else None


def _offsets(option: str, given: Iterable[str]) -> dict[int, int]:
    found = {}
    for text in given:
        match = _PLACE.fullmatch(text.strip())
        if match is None:
            message = f"{option} {text!r} is not PARTITION:OFFSET, such as 0:1500."
            raise WrongArgumentError(message)
        partition, offset = map(int, match.groups())
        if max(partition, offset) > _GREATEST:
            message = f"{option} {text!r} is beyond what Kafka counts to: {_GREATEST:,}."
            raise WrongArgumentError(message)
        if partition in found:
            message = f"{option} names partition {partition} twice."
            raise WrongArgumentError(message)
        found[partition] = offset
    return found


def _instant(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text.strip())
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = f"{option} {text!r} is not a time, such as 2026-11-25T08:00 (UTC) or …+01:00."
        raise WrongArgumentError(message) from error
    return found
