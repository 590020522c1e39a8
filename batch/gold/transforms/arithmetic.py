"""Integer arithmetic: products that exceed 64 bits, rounding, and shares of an amount."""

from collections.abc import Sequence
from dataclasses import dataclass

import narwhals as nw

from batch.gold.transforms import Frame
from lakehouse.contracts.model import RATE_SCALE

_SCRATCH = (
    "_weight", "_whole", "_least", "_left", "_place", "_rest", "_rest_share", "_rest_least",
)  # fmt: skip


def divided_product(amount: nw.Expr, weight: nw.Expr, whole: nw.Expr) -> tuple[nw.Expr, nw.Expr]:
    """Return quotient and remainder of `amount * weight / whole`; the product may exceed 64 bits.

    The weight must not exceed the whole, so that the quotient fits if the amount does.
    """
    product = amount.cast(nw.Int128) * weight
    quotient = product // whole
    return quotient.cast(nw.Int64), (product - quotient * whole).cast(nw.Int64)


def at_rate(cents: nw.Expr, rate_e8: nw.Expr) -> nw.Expr:
    """Convert cents at a rate in hundred-millionths, rounded half up. Not for negative amounts."""
    return ((cents.cast(nw.Int128) * rate_e8 + RATE_SCALE // 2) // RATE_SCALE).cast(nw.Int64)


def basis_points(part: nw.Expr, whole: nw.Expr) -> nw.Expr:
    """Return `part / whole` in hundredths of a percent, rounded half up; null if `whole` is 0."""
    return nw.when(whole > 0).then((part * 20_000 + whole) // (whole * 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Allocation of an amount to rows, given by columns of a frame.

    Attributes:
        amount: amount of the group, the same in each of its rows.
        weight: weight of the row.
        whole: sum of the group's weights if no row is missing, the same in each row. If the rows
            present weigh more, their sum is used.
        share: name of the column that is added.
        group: columns that identify the group.
        ties: columns that order rows with equal remainders.
    """

    amount: str
    weight: str
    whole: str
    share: str
    group: str
    ties: Sequence[str]

    def over(self, frame: Frame) -> Frame:
        """Add each row's share of the amount. Row order is not kept.

        Largest remainder (Hamilton's method): `floor(amount * weight / whole)`, then the remaining
        units go one each to the largest remainders `amount * weight mod whole`. If the weights add
        up to less than the whole, a virtual row has the rest: it takes part, is last among equals,
        and is dropped, so that the shares of present rows do not depend on missing ones. Without a
        rest, the shares add up to the amount. If both the whole and all weights are zero, all rows
        have the same weight, and the amount is divided evenly among the rows present.
        """
        weighed = frame.pipe(self._weighed).pipe(self._floored)
        return weighed.pipe(self._topped_up).drop(*_SCRATCH)

    def _weighed(self, frame: Frame) -> Frame:
        """Add each row's weight, the total weight of its group, and the weight of missing rows."""
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
        """Add each row's share, rounded down, and that of the missing rows of its group.

        Remainders are negative, so that the largest comes first in order.
        """
        amount, whole = nw.col(self.amount), nw.col("_whole")
        share, remainder = divided_product(amount, nw.col("_weight"), whole)
        rest_share, rest_remainder = divided_product(amount, nw.col("_rest"), whole)
        return frame.with_columns(
            share.alias(self.share),
            (remainder * -1).alias("_least"),
            rest_share.alias("_rest_share"),
            (rest_remainder * -1).alias("_rest_least"),
        )

    def _topped_up(self, frame: Frame) -> Frame:
        """Assign the remaining units to the largest remainders."""
        floors = nw.col(self.share).sum().over(self.group) + nw.col("_rest_share")
        left = nw.col(self.amount) - floors
        # One sort of all rows is several times faster than a sort per group.
        sorted_frame = frame.with_columns(left.alias("_left")).with_row_index(
            "_place", order_by=(self.group, "_least", *self.ties)
        )
        before = nw.col("_place") - nw.col("_place").min().over(self.group)
        is_after_rest = nw.col("_rest_least") < nw.col("_least")
        takes = before + is_after_rest.cast(nw.Int64) < nw.col("_left")
        return sorted_frame.with_columns(
            (nw.col(self.share) + takes.cast(nw.Int64)).alias(self.share)
        )
