"""Runs the shop's events up to a moment, an order count or a size, whichever comes first."""

from dataclasses import dataclass
from random import Random

from producers.catalogue import Catalogue
from producers.demand import Clock
from producers.dirt import Dirtier
from producers.keys import Keys
from producers.shop import Shop


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far to go at once.

    Attributes:
        until: events due later stay on the events.
        orders: stop right after this order, counted from the shop's making; None is no limit.
        changes: stop when there is this much to write.
    """

    until: float
    orders: int | None
    changes: int


def make_shop(
    *, seed: int, orders_before: int, dirt_percent: float, base_currency: str, keys: Keys
) -> Shop:
    """A shop without anything in it yet.

    The same seed makes the same pools of names; what is drawn from them differs between the runs
    on one shop, by how many orders there were before.
    """
    return Shop(
        catalogue=Catalogue(seed),
        random=Random(f"shop/{seed}/{orders_before}"),  # noqa: S311
        dirtier=Dirtier(Random(f"dirt/{seed}/{orders_before}"), percent=dirt_percent),  # noqa: S311
        keys=keys,
        base_currency=base_currency,
    )


def advance(shop: Shop, clock: Clock, limits: Limits) -> bool:
    """Let events happen; what they change is in `shop.changes`.

    Where this stops makes no difference to what happens, only to how it is cut into transactions.

    Returns:
        Whether all events due have happened; False if a limit other than `until` came first.
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
