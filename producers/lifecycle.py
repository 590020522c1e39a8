"""Lifecycle of an order after it is placed; each step is a later update.

    placed ─▶ paid ─▶ packed ─▶ shipped ─▶ delivered ─▶ returned ─▶ refunded
       └▶ cancelled ◀─┘ (and refunded, if it was paid)

A step schedules the next one, so an order loaded from the database continues from its status.
"""

from collections.abc import Callable, Iterator

from producers.money import add_up, amount
from producers.rows import InteractionRow, PaymentRow, ReturnRow
from producers.shop import OpenOrder, Shop
from producers.stock import move_stock, promise

NEXT_STATUSES: dict[str, frozenset[str]] = {
    "placed": frozenset({"paid", "cancelled"}),
    "paid": frozenset({"packed", "cancelled"}),
    "packed": frozenset({"shipped"}),
    "shipped": frozenset({"delivered"}),
    "delivered": frozenset({"returned"}),
    "returned": frozenset({"refunded"}),
    "cancelled": frozenset({"refunded"}),
    "refunded": frozenset(),
}
"""Allowed transitions between statuses."""

_REASONS = (
    "damaged",
    "wrong_item",
    "not_as_described",
    "not_as_described",
    "too_small",
    "too_large",
    "changed_mind",
    "changed_mind",
    "arrived_late",
)
_CONDITIONS = ("unopened", "unopened", "opened", "opened", "opened", "damaged")
_MINUTE = 1 / 1440
_HOUR = 1 / 24


def begin_payment(shop: Shop, order: OpenOrder) -> None:
    """Schedule the payment of a new order; some customers change the order before."""
    _insert_payment(shop, order, "payment")
    wait = shop.random.uniform(0.5, 12) * _MINUTE
    if shop.chance(0.04):
        shop.after(wait, change_order, order)
        wait *= 2
    shop.after(wait, settle, order)


def change_order(shop: Shop, order: OpenOrder) -> None:
    """Remove a line or one unit of it from an unpaid order."""
    if len(order.lines) > 1:
        line = order.lines.pop()
        shop.changes.delete("order_lines", line.order_line_id)
        promise(shop, line.product, line.warehouse, -line.quantity)
    elif order.lines[0].quantity > 1:
        line = order.lines[0]
        line.quantity -= 1
        shop.changes.update(
            "order_lines",
            line.order_line_id,
            quantity=line.quantity,
            line_total_amount=amount(line.total_cents),
            updated_at=shop.now,
        )
        promise(shop, line.product, line.warehouse, -1)
    else:
        return
    _update_totals(shop, order)


def settle(shop: Shop, order: OpenOrder) -> None:
    """Capture the payment, or record that it failed or never arrived."""
    draw = shop.random.random()
    if draw < 0.93:
        _pay(shop, order)
        return
    _update_payment(shop, order, "failed")
    if draw < 0.98:
        _insert_payment(shop, order, "payment")
        shop.after(shop.random.uniform(1, 30) * _MINUTE, settle, order)
    else:
        _set_status(shop, order, "cancelled")
        for line in order.lines:
            promise(shop, line.product, line.warehouse, -line.quantity)
        _close(order)


def after_payment(shop: Shop, order: OpenOrder) -> None:
    """Schedule the next step of a paid order."""
    if shop.chance(0.02):
        shop.after(shop.random.uniform(0.2, 3) * _HOUR, _cancel_paid, order)
    else:
        shop.after(shop.random.uniform(1, 10) * _HOUR, _pack, order)


def after_packing(shop: Shop, order: OpenOrder) -> None:
    """Schedule the shipment of a packed order."""
    shop.after(shop.random.uniform(2, 20) * _HOUR, _ship, order)


def after_shipping(shop: Shop, order: OpenOrder) -> None:
    """Schedule the delivery of a shipped order, some days later."""
    shop.after(shop.random.uniform(1, 4), _deliver, order)


def begin_refund(shop: Shop, order: OpenOrder) -> None:
    """Schedule a refund."""
    shop.after(shop.random.uniform(0.1, 0.5), _order_refund, order)


def settle_refund(shop: Shop, order: OpenOrder) -> None:
    """Record that a refund was captured."""
    shop.after(shop.random.uniform(0.1, 1), _refund, order)


RESUME: dict[str, Callable[[Shop, OpenOrder], None]] = {
    "placed": settle,
    "paid": after_payment,
    "packed": after_packing,
    "shipped": after_shipping,
    "returned": begin_refund,
    "cancelled": begin_refund,
}
"""The function that schedules the next step of an open order, by its status."""


def _pay(shop: Shop, order: OpenOrder) -> None:
    _update_payment(shop, order, "captured")
    _set_status(shop, order, "paid")
    for line in order.lines:
        move_stock(
            shop, line.product, line.warehouse, -line.quantity, "sale", order_id=order.order_id
        )
    after_payment(shop, order)


def _pack(shop: Shop, order: OpenOrder) -> None:
    _set_status(shop, order, "packed")
    after_packing(shop, order)


def _ship(shop: Shop, order: OpenOrder) -> None:
    _set_status(shop, order, "shipped")
    after_shipping(shop, order)


def _deliver(shop: Shop, order: OpenOrder) -> None:
    _set_status(shop, order, "delivered")
    if shop.chance(0.12):
        _review(shop, order)
    if shop.chance(0.06):
        shop.after(shop.random.uniform(1, 6), _return, order)
    else:
        _close(order)


def _return(shop: Shop, order: OpenOrder) -> None:
    _set_status(shop, order, "returned")
    _insert_returns(shop, order)
    _put_back(shop, order)
    begin_refund(shop, order)


def _insert_returns(shop: Shop, order: OpenOrder) -> None:
    random = shop.streams["returns"]
    for line, refund_cents in zip(order.lines, _refunds(order), strict=True):
        reason = random.choice(_REASONS)
        row = ReturnRow(
            return_id=shop.keys.take("returns"),
            order_id=order.order_id,
            order_line_id=line.order_line_id,
            quantity=line.quantity,
            reason=reason,
            condition=reason if reason == "damaged" else random.choice(_CONDITIONS),
            refund_amount=amount(refund_cents),
            returned_at=shop.now,
            created_at=shop.now,
            updated_at=shop.now,
        )
        shop.changes.insert(row)


def _refunds(order: OpenOrder) -> Iterator[int]:
    """Yield the share of each line in the order's total, in cents: together they are the total."""
    left, step = order.totals.total_cents, order.tariff.step_cents
    # Prices of other writers may be zero, and their quantities negative.
    prices = [max(line.total_cents, 0) for line in order.lines]
    for position, price in enumerate(prices):
        rest = sum(prices[position:])
        share = left * price // (rest * step) * step if price < rest else left
        left -= share
        yield share


def _cancel_paid(shop: Shop, order: OpenOrder) -> None:
    _set_status(shop, order, "cancelled")
    _put_back(shop, order)
    begin_refund(shop, order)


def _order_refund(shop: Shop, order: OpenOrder) -> None:
    _insert_payment(shop, order, "refund")
    settle_refund(shop, order)


def _refund(shop: Shop, order: OpenOrder) -> None:
    _update_payment(shop, order, "captured")
    _set_status(shop, order, "refunded")
    _close(order)


def _put_back(shop: Shop, order: OpenOrder) -> None:
    for line in order.lines:
        move_stock(
            shop, line.product, line.warehouse, line.quantity, "return", order_id=order.order_id
        )
        promise(shop, line.product, line.warehouse, -line.quantity)


def _set_status(shop: Shop, order: OpenOrder, status: str) -> None:
    values = {"status": status, f"{status}_at": shop.now, "updated_at": shop.now}
    shop.changes.update("orders", order.order_id, **values)


def _update_totals(shop: Shop, order: OpenOrder) -> None:
    order.totals = totals = add_up([line.total_cents for line in order.lines], order.tariff)
    shop.changes.update(
        "orders",
        order.order_id,
        subtotal_amount=amount(totals.subtotal_cents),
        discount_amount=amount(totals.discount_cents),
        tax_amount=amount(totals.tax_cents),
        total_amount=amount(totals.total_cents),
        base_total_amount=amount(totals.base_total_cents),
        updated_at=shop.now,
    )
    if order.payment_id is not None:
        total = amount(totals.total_cents)
        shop.changes.update("payments", order.payment_id, amount=total, updated_at=shop.now)


def _insert_payment(shop: Shop, order: OpenOrder, kind: str) -> None:
    order.payment_id = shop.keys.take("payments")
    row = PaymentRow(
        payment_id=order.payment_id,
        order_id=order.order_id,
        kind=kind,
        method=order.method,
        status="pending",
        amount=amount(order.totals.total_cents),
        currency=order.tariff.currency,
        provider_reference=f"{kind}-{shop.random.getrandbits(48):012x}",
        created_at=shop.now,
        updated_at=shop.now,
    )
    shop.changes.insert(row)


def _update_payment(shop: Shop, order: OpenOrder, status: str) -> None:
    if order.payment_id is not None:
        shop.changes.update(
            "payments", order.payment_id, status=status, settled_at=shop.now, updated_at=shop.now
        )


def _review(shop: Shop, order: OpenOrder) -> None:
    customer = order.customer
    row = InteractionRow(
        interaction_id=shop.keys.take("interactions"),
        customer_id=customer.customer_id if customer else None,
        session_id=f"{shop.random.getrandbits(64):016x}",
        product_id=order.lines[0].product.product_id,
        interaction_type="review",
        device=order.device,
        referrer="email",
        rating=shop.random.choice((1, 2, 3, 4, 4, 5, 5, 5)),
        occurred_at=shop.now,
        created_at=shop.now,
        updated_at=shop.now,
    )
    shop.changes.insert(shop.dirtier.spoil(row, shop.changes))


def _close(order: OpenOrder) -> None:
    if order.customer is not None:
        order.customer.busy -= 1
