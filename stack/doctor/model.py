"""A check, what it says, and what becomes of that in a report."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from stack.doctor.measurements import Measurements


class Verdict(StrEnum):
    """How something is."""

    FINE = "fine"
    NOTE = "note"
    """Worth knowing, and as somebody may want it: no reason to act by itself."""
    WRONG = "wrong"
    UNCHECKED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a check says: a sentence of what is, and what to type where that has to change."""

    verdict: Verdict
    words: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The same in a report: of which area, under which title."""

    area: str
    title: str
    verdict: Verdict
    words: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """By name."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing to look at.

    Attributes:
        area: what it belongs to, as in a report's heading.
        title: what is looked at.
        needs: services without which there is nothing to look at.
        run: reads and diagnoses; says one thing at least. What it raises, could not be checked.
    """

    area: str
    title: str
    needs: tuple[str, ...] = ()
    run: Callable[[Measurements], Sequence[Said]]


def fine(words: str) -> Said:
    """As it should be."""
    return Said(verdict=Verdict.FINE, words=words)


def note(words: str, remedy: str = "") -> Said:
    """Worth knowing."""
    return Said(verdict=Verdict.NOTE, words=words, remedy=remedy)


def wrong(words: str, remedy: str) -> Said:
    """Has to change."""
    return Said(verdict=Verdict.WRONG, words=words, remedy=remedy)


def unchecked(why: str) -> Said:
    """Nobody can tell."""
    return Said(verdict=Verdict.UNCHECKED, words=why)


def wrong_as_told(message: str) -> Said:
    """Of one of our messages: what is wrong, a full stop, the way out."""
    words, _, remedy = message.partition(". ")
    return wrong(words.rstrip("."), remedy)
