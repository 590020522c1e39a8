"""How many deletes an extraction may write without being asked. Pure.

Many rows that seem gone at once are more often hidden than deleted: by a policy, a wrong database,
a table that somebody has swapped.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from batch.extraction.missed import Missed
from lakehouse.errors import StopPipelineError

MAX_SHARE = 0.05
"""Of a table's keys. More of them are likelier hidden than deleted."""
MIN_ROWS = 100
"""Of fewer rows all may go: a small table may well be emptied."""
_EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteLimit:
    """What one extraction may delete.

    Attributes:
        max_share: of a table's keys; more of them are refused, …
        min_rows: … unless they are fewer than these.
        allowed: the most of all tables together, if somebody has said so. It goes before the share.
    """

    max_share: float = MAX_SHARE
    min_rows: int = MIN_ROWS
    allowed: int | None = None

    def require(self, missed: Mapping[str, Missed]) -> None:
        """Refuse to write more.

        Args:
            missed: what would be deleted, by table.

        Raises:
            StopPipelineError: it is more than that.
        """
        total = sum(one.gone.height for one in missed.values())
        if self.allowed is None:
            refused = {name: one for name, one in missed.items() if self._is_too_much(one)}
            limit = (
                f"more than {self.max_share:.0%} of a table, and at least {self.min_rows:,} rows"
            )
        else:
            refused = {name: one for name, one in missed.items() if one.gone.height}
            refused = refused if total > self.allowed else {}
            limit = f"{total:,} in all, and --allow-deletes says {self.allowed:,}"
        if not refused:
            return
        named = "; ".join(_named(name, one) for name, one in sorted(refused.items()))
        message = (
            f"Too many rows are gone from the shop: {named}. That is {limit}. No delete was "
            "written, of any table. Are they hidden, or is it the wrong database? ./pipeline "
            "doctor. If they were deleted indeed, the same command with --allow-deletes "
            f"{total} deletes them in every layer, too."
        )
        raise StopPipelineError(message)

    def _is_too_much(self, missed: Missed) -> bool:
        count = missed.gone.height
        return count >= self.min_rows and count > self.max_share * missed.living


def _named(table: str, missed: Missed) -> str:
    gone = missed.gone
    share = gone.height / missed.living
    keys = ", ".join(gone["key"].head(_EXAMPLES))
    more = ", …" if gone.height > _EXAMPLES else ""
    return f"{table} {gone.height:,} of {missed.living:,} rows ({share:.1%}), e.g. {keys}{more}"
