"""Limit of the deletes that an extraction writes by itself. Pure.

If many rows are missing at once, they are more often hidden than deleted: by a row-level policy,
a wrong database, or a swapped table.
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
    """Limit of the deletes of one extraction.

    Attributes:
        max_share: largest share of a table's keys, …
        min_rows: … which is checked from this number of rows on.
        allowed: largest number over all tables, if given; replaces the share.
    """

    max_share: float = MAX_SHARE
    min_rows: int = MIN_ROWS
    allowed: int | None = None

    def require(self, missed: Mapping[str, Missed]) -> None:
        """Reject missed deletes beyond the limit.

        Args:
            missed: missed deletes, by table.

        Raises:
            StopPipelineError: the limit is exceeded.
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
            limit = f"{total:,} in all, more than --allow-deletes {self.allowed:,}"
        if not refused:
            return
        named = "; ".join(_named(name, one) for name, one in sorted(refused.items()))
        problem = (
            f"Too many rows are missing in the shop: {named}. That is {limit}. No delete was "
            "written, of any table"
        )
        action = (
            "Check that the rows are not hidden, and that it is the right database: ./pipeline "
            "doctor. If they were deleted on purpose, the same command with --allow-deletes "
            f"{total} deletes them in every layer."
        )
        raise StopPipelineError(problem, action)

    def _is_too_much(self, missed: Missed) -> bool:
        count = missed.gone.height
        return count >= self.min_rows and count > self.max_share * missed.living


def _named(table: str, missed: Missed) -> str:
    gone = missed.gone
    share = gone.height / missed.living
    keys = ", ".join(gone["key"].head(_EXAMPLES))
    more = ", …" if gone.height > _EXAMPLES else ""
    return f"{table} {gone.height:,} of {missed.living:,} rows ({share:.1%}), e.g. {keys}{more}"
