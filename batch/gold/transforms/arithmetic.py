"""Whole-number arithmetic: products that exceed 64 bits, rounding, shares of an amount."""

from collections.abc import Sequence
from dataclasses import dataclass

import narwhals as nw

from batch.gold.transforms import Frame
from lakehouse.contracts.model import RATE_SCALE

_SCRATCH = (
    "_weight", "_whole", "_least", "_left", "_place", "_rest", "_rest_share", "_rest_least",
)  # fmt: skip


def divided_product(amount: nw.Expr, weight: nw.Expr, whole: nw.Expr) -> tuple[nw.Expr, nw.Expr]:
    """Quotient and remainder of `amount * weight / whole`, exact though the product may overflow.

    The weight is not more than the whole, so that the quotient fits where the amount does.
    """
    product = amount.cast(nw.Int128) * weight
    quotient = product // whole
    return quotient.cast(nw.Int64), (product - quotient * whole).cast(nw.Int64)


def at_rate(cents: nw.Expr, rate_e8: nw.Expr) -> nw.Expr:
    """Cents at a rate of whole hundred-millionths, rounded half up. Not for negative amounts."""
    return ((cents.cast(nw.Int128) * rate_e8 + RATE_SCALE // 2) // RATE_SCALE).cast(nw.Int64)


def basis_points(part: nw.Expr, whole: nw.Expr) -> nw.Expr:
    """`part / whole` in hundredths of a percent, rounded half up; absent where `whole` is 0."""
    return nw.when(whole > 0).then((part * 20_000 + whole) // (whole * 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """An amount that is spread over rows, named by the columns of a frame.

    Attributes:
        amount: of the group, the same in each of its rows.
        weight: of the row.
        whole: sum of the weights of the group if nothing is missing, the same in each row. Where
            the rows that are there weigh more, it is what they weigh.
        share: the column that is added.
        group: what the amount belongs to.
        ties: which of two rows with equal remainders goes first.
    """

    amount: str
    weight: str
    whole: str
    share: str
    group: str
    ties: Sequence[str]

    def over(self, frame: Frame) -> Frame:
        """The frame with each row's share of the amount. Row order is not kept.

        Largest remainder (Hamilton's method): `floor(amount * weight / whole)`, then the units left
        over go one each to the largest remainders `amount * weight mod whole`. What the weights
        lack of the whole is the weight of a rest, which takes part, goes last among equals, and is
        dropped: the shares of the rows that are there do not depend on those that are missing.
        Without rest the shares add up to the amount. Where neither whole nor rows weigh anything,
        all rows weigh the same: the amount is theirs, and goes evenly to those that are there.
        """
        weighed = frame.pipe(self._weighed).pipe(self._floored)
        return weighed.pipe(self._topped_up).drop(*_SCRATCH)

    def _weighed(self, frame: Frame) -> Frame:
        """Add what each row weighs, what all of its group does, and what of it is missing."""
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
        """Add each row's share, rounded down, and the same of the rest of its group.

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
        """Give the units left over to the largest remainders."""
        floors = nw.col(self.share).sum().over(self.group) + nw.col("_rest_share")
        left = nw.col(self.amount) - floors
        # One sort of all rows is several times faster than one in each group.
        sorted_frame = frame.with_columns(left.alias("_left")).with_row_index(
            "_place", order_by=(self.group, "_least", *self.ties)
        )
        before = nw.col("_place") - nw.col("_place").min().over(self.group)
        is_after_rest = nw.col("_rest_least") < nw.col("_least")
        takes = before + is_after_rest.cast(nw.Int64) < nw.col("_left")
        return sorted_frame.with_columns(
            (nw.col(self.share) + takes.cast(nw.Int64)).alias(self.share)
        )
