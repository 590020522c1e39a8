"""Results of checks, and findings in a report."""

from dataclasses import asdict, dataclass
from enum import StrEnum

from lakehouse.errors import Problem


class Verdict(StrEnum):
    """Result of a check."""

    FINE = "fine"
    NOTE = "note"
    """Unusual, but possibly intended; no action is required."""
    WRONG = "wrong"
    UNCHECKED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Result of a check: a sentence, and the command that fixes a problem."""

    verdict: Verdict
    words: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A result in a report, with area and title."""

    area: str
    title: str
    verdict: Verdict
    words: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the finding as a JSON object."""
        return asdict(self)


def fine(words: str) -> Said:
    """Return a result without a problem."""
    return Said(verdict=Verdict.FINE, words=words)


def note(words: str, remedy: str = "") -> Said:
    """Return a result that needs no action."""
    return Said(verdict=Verdict.NOTE, words=words, remedy=remedy)


def wrong(words: str, remedy: str) -> Said:
    """Return a problem."""
    return Said(verdict=Verdict.WRONG, words=words, remedy=remedy)


def unchecked(why: str) -> Said:
    """Return a result that could not be determined."""
    return Said(verdict=Verdict.UNCHECKED, words=why)


def wrong_as_told(told: Problem) -> Said:
    """Return a problem and its action as a finding."""
    return wrong(told.problem, told.action)
