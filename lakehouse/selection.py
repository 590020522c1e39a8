"""Selection of changes by offsets and times, and the offset ranges they stand for."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from lakehouse.errors import WrongArgumentError
from lakehouse.offsets import OffsetRange
from lakehouse.shop_time import instant_of

_GREATEST = 2**63 - 1
_PLACE = re.compile(r"(\d+):(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A range of changes. Fields that are not set do not restrict it.

    Attributes:
        first: first offset, by partition.
        last: last offset, inclusive, by partition.
        since: start at the first change of this time or later.
        until: stop before the first change of this time or later.

    If offsets are set for some partitions, the others are excluded. Times work as in Kafka: a time
    stands for a partition's first offset whose record is not older.
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
        """Parse command-line options.

        Raises:
            WrongArgumentError: an option is malformed, or the range ends before it begins.
        """
        chosen = cls(
            first=_offsets("--from-offset", from_offset),
            last=_offsets("--to-offset", to_offset),
            since=instant_of("--from-time", from_time),
            until=instant_of("--to-time", to_time),
        )
        for partition in chosen.first.keys() & chosen.last.keys():
            if chosen.first[partition] > chosen.last[partition]:
                problem = (
                    f"Partition {partition}: the range ends at {chosen.last[partition]}, before it "
                    f"begins at {chosen.first[partition]}"
                )
                raise WrongArgumentError(problem, "Swap --from-offset and --to-offset.")
        if chosen.since and chosen.until and chosen.since >= chosen.until:
            message = f"Nothing lies between {chosen.since} and {chosen.until}: --to-time is later."
            raise WrongArgumentError(message)
        return chosen

    @property
    def has_offsets(self) -> bool:
        """Return whether offsets are given; these refer to the current incarnation of the topic."""
        return bool(self.first or self.last)

    def require_known(self, what: str, partitions: Iterable[int]) -> None:
        """Reject a selection that names an unknown partition.

        Raises:
            WrongArgumentError: lists the unknown partitions, and those that `what` has.
        """
        known = set(partitions)
        unknown = sorted({*self.first, *self.last} - known)
        if unknown:
            message = (
                f"{what} has partitions {', '.join(map(str, sorted(known)))}, not "
                f"{', '.join(map(str, unknown))}: see --from-offset and --to-offset."
            )
            raise WrongArgumentError(message)

    def offsets(
        self, partition: int, *, end: int, since: int | None = None, until: int | None = None
    ) -> OffsetRange | None:
        """Return the selected range of a partition; None if it is empty.

        Args:
            partition: its number.
            end: its end offset.
            since: the offset that `self.since` stands for; None if no change is that late.
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
            message = f"{option} {text!r} exceeds the largest offset of Kafka: {_GREATEST:,}."
            raise WrongArgumentError(message)
        if partition in found:
            message = f"{option} names partition {partition} twice."
            raise WrongArgumentError(message)
        found[partition] = offset
    return found
