"""Integer arithmetic: products that exceed 64 bits, rounding, shares of an amount."""

from collections.abc import Sequence
from dataclasses import dataclass

import narwhals as nw

from batch.gold.transforms import Frame
from lakehouse.contracts.model import RATE_SCALE

_SCRATCH = (
    "_weight", "_whole", "_remainder", "_left", "_rank", "_rest", "_rest_share", "_rest_remainder",
)  # fmt: skip


def divided_product(amount: nw.Expr, weight: nw.Expr, whole: nw.Expr) -> tuple[nw.Expr, nw.Expr]:
    """Return quotient and remainder of `amount * weight / whole`, exact beyond 64 bits.

    The weight must not exceed the whole, so that the quotient fits into 64 bits.
    """
    product = amount.cast(nw.Int128) * weight
    quotient = product // whole
    return quotient.cast(nw.Int64), (product - quotient * whole).cast(nw.Int64)


def at_rate(cents: nw.Expr, rate_e8: nw.Expr) -> nw.Expr:
    """Convert non-negative cents at a rate in units of 1e-8, rounded half up."""
    return ((cents.cast(nw.Int128) * rate_e8 + RATE_SCALE // 2) // RATE_SCALE).cast(nw.Int64)


def basis_points(part: nw.Expr, whole: nw.Expr) -> nw.Expr:
    """Return `part / whole` in basis points, rounded half up; null where `whole` is 0."""
    return nw.when(whole > 0).then((part * 20_000 + whole) // (whole * 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """An amount that is spread over the rows of a group, by names of columns.

    Attributes:
        amount: of the group, the same in each of its rows.
        weight: of the row.
        whole: sum of the weights of the complete group, the same in each row. Where the present
            rows have a larger sum, that sum is used.
        share: the column that is added.
        group: the key of the group.
        ties: order of rows with equal remainders.
    """

    amount: str
    weight: str
    whole: str
    share: str
    group: str
    ties: Sequence[str]

    def over(self, frame: Frame) -> Frame:
        """Add each row's share of the amount. Row order is not kept.

        Largest remainder (Hamilton's method): `floor(amount * weight / whole)`, then the leftover
        units go one each to the largest remainders `amount * weight mod whole`. The weight missing
        from the whole is that of a rest, which takes part, comes last among equals, and is dropped:
        the shares of present rows do not depend on missing ones. Without a rest the shares add up
        to the amount. If whole and weights are all 0, the present rows get equal weights.
        """
        weighed = frame.pipe(self._weighed).pipe(self._floored)
        return weighed.pipe(self._topped_up).drop(*_SCRATCH)

    def _weighed(self, frame: Frame) -> Frame:
        """Add the weight of each row, of its whole group, and of the missing rest."""
        present = nw.col(self.weight).sum().over(self.group)
        rows = nw.col(self.weight).count().over(self.group).cast(nw.Int64)
        whole = nw.max_horizontal(nw.col(self.whole), present)
        is_weightless = whole == 0
        return frame.with_columns(
            nw.when(is_weightless).then(1).otherwise(nw.col(self.weight)).alias("_weight"),
            nw.when(is_weightless).then(rows).otherwise(whole).alias("_whole"),
            (whole - present).alias("_rest"),
        )

    def _floored(self, frame: Frame) -> Frame:
        """Add the share of each row and of the rest of its group, rounded down.

        Remainders are negated, so that an ascending sort has the largest first.
        """
        amount, whole = nw.col(self.amount), nw.col("_whole")
        share, remainder = divided_product(amount, nw.col("_weight"), whole)
        rest_share, rest_remainder = divided_product(amount, nw.col("_rest"), whole)
        return frame.with_columns(
            share.alias(self.share),
            (remainder * -1).alias("_remainder"),
            rest_share.alias("_rest_share"),
            (rest_remainder * -1).alias("_rest_remainder"),
        )

    def _topped_up(self, frame: Frame) -> Frame:
        """Add the leftover units to the largest remainders."""
        floors = nw.col(self.share).sum().over(self.group) + nw.col("_rest_share")
        left = nw.col(self.amount) - floors
        # One sort of all rows is several times faster than one sort per group.
        sorted_frame = frame.with_columns(left.alias("_left")).with_row_index(
            "_rank", order_by=(self.group, "_remainder", *self.ties)
        )
        before = nw.col("_rank") - nw.col("_rank").min().over(self.group)
        is_after_rest = nw.col("_rest_remainder") < nw.col("_remainder")
        takes = before + is_after_rest.cast(nw.Int64) < nw.col("_left")
        return sorted_frame.with_columns(
            (nw.col(self.share) + takes.cast(nw.Int64)).alias(self.share)
        )
