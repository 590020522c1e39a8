"""Execution of the shop's events up to a moment, a number of orders or of changes."""

from dataclasses import dataclass

from producers.catalogue import Catalogue
from producers.demand import Clock
from producers.dirt import Dirtier
from producers.keys import Keys
from producers.shop import Shop, Streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one batch of events.

    Attributes:
        until: events due later stay in the queue.
        orders: stop right after this order, counted since the shop exists; None is no limit.
        changes: stop at this number of changed rows.
    """

    until: float
    orders: int | None
    changes: int


def make_shop(
    *, seed: int, orders_before: int, dirt_percent: float, base_currency: str, keys: Keys
) -> Shop:
    """Return an empty shop.

    The same seed gives the same pools of names; choices from them also depend on the number of
    earlier orders, so that several runs on one shop differ.
    """
    streams = Streams(f"{seed}/{orders_before}")
    return Shop(
        catalogue=Catalogue(seed),
        streams=streams,
        dirtier=Dirtier(streams["dirt"], percent=dirt_percent),
        keys=keys,
        base_currency=base_currency,
    )


def advance(shop: Shop, clock: Clock, limits: Limits) -> bool:
    """Execute events; their changes are collected in `shop.changes`.

    The limits do not affect the events, only how they are grouped into transactions.

    Returns:
        Whether all due events were executed; False if a limit other than `until` was reached first.
    """
    events, keys = shop.events, shop.keys
    while (next_moment := events.next_moment) is not None and next_moment <= limits.until:
        if shop.orders_placed == limits.orders or shop.changes.count >= limits.changes:
            return False
        if keys.is_low:
            return False
        shop.moment, event = events.take()
        shop.now = clock.instant(shop.moment)
        event()
        shop.changes.last_timestamp = shop.now
    return True
