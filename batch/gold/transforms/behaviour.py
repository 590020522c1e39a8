"""Conversion funnel by day and device. Grain: one row per day and device."""

import narwhals as nw

from batch.gold.transforms import Frame
from batch.gold.transforms.arithmetic import basis_points
from lakehouse.contracts.gold import CUSTOMER_BEHAVIOUR, DAY, MONTH

_STEPS = ("view", "cart", "checkout", "purchase")
_PAID = len(_STEPS) + 1
_BY = (DAY, MONTH, "device")


def customer_behaviour(interactions: Frame, orders: Frame) -> Frame:
    """Compute the funnel from view over cart, checkout and purchase to paid.

    A session counts at the furthest step it reached and at all steps before, so no step has more
    sessions than the one before, although visitors skip steps and removed cart items are deleted.
    Everything is per day: what a session did on another day does not matter. A review is written
    from an e-mail and does not make a session.

    The shop stores no link from a visit to an order. A session is *paid* if it bought, was signed
    in, and the same customer has an order placed on that day that was paid.

    Abandonment: the share of sessions that reached the step but did not buy (cart abandonment rate
    as defined by Baymard Institute: 1 - purchases / carts). Null if no session reached it.

    Args:
        interactions: current rows of `cleaned_interactions` of whole days.
        orders: current rows of `cleaned_sales` placed on the same days.
    """
    events = interactions.select(
        "session_id", "device", "interaction_type", "customer_id",
        nw.col("occurred_date").alias(DAY), nw.col("occurred_month").alias(MONTH),
    )  # fmt: skip
    counts = _counts(events)
    sessions = _by_step(_furthest(events, _paid_days(orders)))
    zeros = [nw.col(name).fill_null(0) for name in _SESSIONS]
    return (
        counts.join(sessions, on=list(_BY), how="left")
        .with_columns(*zeros)
        .with_columns(*_rates())
        .select(*CUSTOMER_BEHAVIOUR.names)
    )


_SESSIONS = {
    "sessions": 1, "cart_sessions": 2, "checkout_sessions": 3, "purchase_sessions": 4,
    "paid_sessions": _PAID,
}  # fmt: skip


def _counts(events: Frame) -> Frame:
    """Count each kind of interaction. Grain: one row per day and device."""
    kinds = {f"{kind}s": kind for kind in (*_STEPS, "review")}
    is_kind = [
        (nw.col("interaction_type") == kind).cast(nw.Int64).alias(name)
        for name, kind in kinds.items()
    ]
    return events.with_columns(*is_kind).group_by(*_BY).agg(*(nw.col(n).sum() for n in kinds))


def _paid_days(orders: Frame) -> Frame:
    """Return customers and days with a paid order. Grain: one row per customer and day."""
    paid = orders.filter(~nw.col("paid_at").is_null() & ~nw.col("customer_id").is_null())
    days = paid.select("customer_id", nw.col("placed_date").alias(DAY))
    return days.unique(subset=["customer_id", DAY], keep="any").with_columns(
        nw.lit(1).alias("has_paid")
    )


def _furthest(events: Frame, paid_days: Frame) -> Frame:
    """Add the furthest step. Grain: one row per day, device and session."""
    step = nw.lit(0)
    for number, kind in enumerate(_STEPS, start=1):
        step = nw.when(nw.col("interaction_type") == kind).then(number).otherwise(step)
    is_paid = (nw.col("interaction_type") == "purchase") & ~nw.col("has_paid").is_null()
    return (
        events.filter(nw.col("interaction_type").is_in(_STEPS))
        .join(paid_days, on=["customer_id", DAY], how="left")
        .with_columns(nw.when(is_paid).then(_PAID).otherwise(step).alias("step"))
        .group_by(*_BY, "session_id")
        .agg(nw.col("step").max())
    )


def _by_step(sessions: Frame) -> Frame:
    """Count the sessions that reached each step. Grain: one row per day and device."""
    got_to = [
        (nw.col("step") >= step).cast(nw.Int64).alias(name) for name, step in _SESSIONS.items()
    ]
    reached = sessions.with_columns(*got_to).group_by(*_BY)
    return reached.agg(*(nw.col(name).sum() for name in _SESSIONS))


def _rates() -> list[nw.Expr]:
    """Compute conversion and abandonment."""
    bought, cart, checkout = (
        nw.col(name) for name in ("purchase_sessions", "cart_sessions", "checkout_sessions")
    )
    return [
        basis_points(bought, nw.col("sessions")).alias("conversion_basis_points"),
        basis_points(cart - bought, cart).alias("cart_abandonment_basis_points"),
        basis_points(checkout - bought, checkout).alias("checkout_abandonment_basis_points"),
    ]
