"""Visits: views, carts, checkouts. One visit that ends in an order is due per moment.

As in most shops, few visits end in an order, and not all are measured: only a sample of those whose
visitors agree to it, and none of customers who order at a marketplace or by phone. Both kinds of
visit are measured alike, so their shares are those of all visits, at a fraction of the rows.
"""

import math
from collections.abc import Sequence

from producers.checkout import place_order
from producers.rows import CustomerRow, InteractionRow
from producers.shop import Customer, Product, Shop, Visit

_MINUTE = 1 / 1440
_LONGEST_VISIT = 25 * _MINUTE
_MEASURED = 0.15
"""Share of the visits to the shop's own pages that are measured."""
_MEASURED_WITHOUT_ORDER = 3
"""Measured visits per order that end without one; with those that buy, 3.5 % of visits buy."""
_IS_SIGNED_IN = 0.15
_FURTHER_VIEWS = (0, 0, 0, 0, 0, 0, 0, 1, 1, 2)
_NEW_CUSTOMERS = 0.6
"""Share of the orders for which an account is created."""
_OWN_PAGES = ("web", "web", "web", "mobile_app", "mobile_app")
_CHANNELS = (*_OWN_PAGES, "marketplace", "phone")
_DEVICES = {
    "web": ("desktop", "desktop", "mobile", "mobile", "tablet"),
    "mobile_app": ("mobile", "mobile", "mobile", "tablet"),
    "marketplace": ("desktop", "mobile"),
    "phone": ("phone",),
}
_REFERRERS = (None, None, None, "search", "search", "social", "newsletter", "ads", "affiliate")
_BASKET_SIZES = (1, 1, 1, 1, 1, 1, 1, 2, 2, 3)
_QUANTITIES = (1, 1, 1, 1, 1, 1, 2, 2, 3)


def open_doors(shop: Shop) -> None:
    """Schedule the first visits."""
    shop.at(shop.moment, _expect, math.ceil(shop.moment))


def sign_up(shop: Shop) -> Customer:
    """Create an account; occasionally also a duplicate account for the same person."""
    place = shop.catalogue.place(shop.random)
    row = shop.catalogue.customer(
        shop.random, place, customer_id=shop.keys.take("customers"), at=shop.now
    )
    return add_account(shop, row, Customer(customer_id=row.customer_id, place=place))


def add_account(shop: Shop, row: CustomerRow, customer: Customer) -> Customer:
    """Store an account with its faults, and keep it without them in memory."""
    shop.changes.insert(shop.dirtier.spoil(row, shop.changes))
    if shop.dirtier.makes_twin:
        twin_id = shop.keys.take("customers")
        shop.changes.insert(shop.dirtier.twin(row, twin_id, shop.changes))
    shop.add_customer(customer)
    return customer


def _expect(shop: Shop, number: int) -> None:
    """Schedule the visit that buys in moment `number`, and the next one."""
    buys_at = number + shop.random.random()
    begins_at = buys_at - shop.random.uniform(0.05, 1) * _LONGEST_VISIT * shop.day_length
    shop.at(max(begins_at, shop.moment), _begin_purchase, buys_at)
    for _ in range(_MEASURED_WITHOUT_ORDER):
        shop.at(number + shop.random.random(), _browse)
    earliest = number + 1 - _LONGEST_VISIT * shop.day_length
    shop.at(max(earliest, shop.moment), _expect, number + 1)


def _begin_purchase(shop: Shop, buys_at: float) -> None:
    customer = sign_up(shop) if shop.chance(_NEW_CUSTOMERS) else shop.loyal_customer()
    customer.busy += 1
    visit = _visit(shop, customer, _CHANNELS)
    for _ in range(shop.random.choice(_BASKET_SIZES)):
        product = shop.product_for(customer)
        if all(product is not chosen for chosen, _ in visit.basket):
            visit.basket.append((product, shop.random.choice(_QUANTITIES)))
    is_measured = visit.channel in _OWN_PAGES and shop.chance(_MEASURED)
    if is_measured:
        _plan_clicks(shop, visit, buys_at - shop.moment)
    shop.at(buys_at, _buy, visit, customer, is_measured=is_measured)


def _plan_clicks(shop: Shop, visit: Visit, offsets: float) -> None:
    """Write the interactions before a purchase; some visits have no views."""
    for product, _ in visit.basket:
        looks_at = shop.random.random() * 0.6
        if shop.chance(0.95):
            shop.at(shop.moment + looks_at * offsets, _look, visit, product)
        shop.at(shop.moment + (looks_at + 0.2) * offsets, _fill_cart, visit, product)
    shop.at(shop.moment + 0.9 * offsets, _go_to_checkout, visit)


def _look(shop: Shop, visit: Visit, product: Product) -> None:
    _record(shop, visit, "view", product)


def _fill_cart(shop: Shop, visit: Visit, product: Product) -> None:
    _record(shop, visit, "cart", product)


def _go_to_checkout(shop: Shop, visit: Visit) -> None:
    _record(shop, visit, "checkout", None)


def _buy(shop: Shop, visit: Visit, customer: Customer, *, is_measured: bool) -> None:
    is_placed = place_order(shop, visit, customer)
    if is_placed and is_measured:
        _record(shop, visit, "purchase", None)
    if not is_placed:
        # Everything is out of stock: another visit buys, so that the requested rate is reached.
        shop.at(shop.moment, _begin_purchase, shop.moment + 1)
    customer.busy -= 1


def _browse(shop: Shop) -> None:
    """Write a visit that ends without an order, mostly after one view."""
    customer = shop.loyal_customer() if shop.chance(_IS_SIGNED_IN) else None
    visit = _visit(shop, customer, _OWN_PAGES)
    product, wait = shop.product_for(customer), 0.0
    _look(shop, visit, product)
    for _ in range(shop.random.choice(_FURTHER_VIEWS)):
        wait += shop.random.uniform(0.2, 3) * _MINUTE
        product = shop.product_for(customer)
        shop.after(wait, _look, visit, product)
    if shop.chance(0.1):
        wait += shop.random.uniform(0.2, 3) * _MINUTE
        shop.after(wait, _abandon, visit, product)
    if customer is not None:
        customer.busy += 1
        shop.after(wait + _MINUTE, _leave, customer)


def _abandon(shop: Shop, visit: Visit, product: Product) -> None:
    """Write an abandoned cart, some of them at the checkout; many are emptied later."""
    interaction_id = _record(shop, visit, "cart", product)
    if shop.chance(0.4):
        shop.after(0.5 * _MINUTE, _go_to_checkout, visit)
    if shop.chance(0.5):
        shop.after(shop.random.uniform(0.2, 1), _empty_cart, interaction_id)


def _empty_cart(shop: Shop, interaction_id: int) -> None:
    shop.changes.delete("interactions", interaction_id)


def _leave(_shop: Shop, customer: Customer) -> None:
    customer.busy -= 1


def _visit(shop: Shop, customer: Customer | None, channels: Sequence[str]) -> Visit:
    channel = shop.random.choice(channels)
    return Visit(
        session_id=f"{shop.random.getrandbits(64):016x}",
        device=shop.random.choice(_DEVICES[channel]),
        referrer=shop.random.choice(_REFERRERS),
        channel=channel,
        customer=customer,
    )


def _record(shop: Shop, visit: Visit, kind: str, product: Product | None) -> int:
    row = InteractionRow(
        interaction_id=shop.keys.take("interactions"),
        customer_id=visit.customer.customer_id if visit.customer else None,
        session_id=visit.session_id,
        product_id=product.product_id if product else None,
        interaction_type=kind,
        device=visit.device,
        referrer=visit.referrer,
        rating=None,
        occurred_at=shop.now,
        created_at=shop.now,
        updated_at=shop.now,
    )
    shop.changes.insert(shop.dirtier.spoil(row, shop.changes))
    return row.interaction_id
