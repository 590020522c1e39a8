"""Checkout: a basket becomes an order, by stock, current prices and exchange rate."""

from producers.geography import Country
from producers.lifecycle import begin_payment
from producers.money import RATE_SCALE, STEP_CENTS, Tariff, add_up, amount, from_base, rate_text
from producers.rows import OrderLineRow, OrderRow
from producers.shop import Customer, Line, OpenOrder, Product, Shop, Visit
from producers.stock import find_warehouse, promise

_FREE_SHIPPING_FROM_CENTS = 8_000
_COUPONS = (5, 10, 15, 20)
_METHODS = ("card", "card", "card", "paypal", "bank_transfer", "apple_pay", "google_pay", "invoice")


def place_order(shop: Shop, visit: Visit, customer: Customer) -> bool:
    """Turn the visitor's basket into an order.

    Returns:
        Whether an order was placed: False if nothing in the basket is in stock.
    """
    country = customer.place.country
    coupon = shop.random.choice(_COUPONS) if shop.chance(0.15) else 0
    lines = _lines(shop, visit.basket, country)
    if not lines:
        return False
    tariff = _tariff(shop, country, lines, coupon)
    order = OpenOrder(
        order_id=shop.keys.take("orders"),
        customer=customer,
        device=visit.device,
        tariff=tariff,
        lines=lines,
        totals=add_up([line.total_cents for line in lines], tariff),
        method=shop.random.choice(_METHODS),
    )
    customer.busy += 1
    shop.orders_placed += 1
    _insert(shop, order, customer, visit.channel)
    begin_payment(shop, order)
    return True


def _lines(shop: Shop, basket: list[tuple[Product, int]], country: Country) -> list[Line]:
    rate, step = shop.rates[country.currency], STEP_CENTS.get(country.currency, 1)
    lines = []
    for product, quantity in basket:
        warehouse = find_warehouse(product, country, quantity)
        if warehouse is not None:
            promise(shop, product, warehouse, quantity)
            line = Line(
                order_line_id=shop.keys.take("order_lines"),
                product=product,
                warehouse=warehouse,
                quantity=quantity,
                unit_price_cents=from_base(product.price_cents, rate=rate, step_cents=step),
            )
            lines.append(line)
    return lines


def _tariff(shop: Shop, country: Country, lines: list[Line], discount_percent: int) -> Tariff:
    rate, step = shop.rates[country.currency], STEP_CENTS.get(country.currency, 1)
    base_cents = sum(line.total_cents for line in lines) * rate // RATE_SCALE
    shipping_cents = 0 if base_cents >= _FREE_SHIPPING_FROM_CENTS else country.shipping_cents
    return Tariff(
        currency=country.currency,
        rate=rate,
        step_cents=step,
        discount_percent=discount_percent,
        shipping_cents=from_base(shipping_cents, rate=rate, step_cents=step),
        tax_basis_points=country.tax_basis_points,
    )


def _insert(shop: Shop, order: OpenOrder, customer: Customer, channel: str) -> None:
    totals, place, percent = order.totals, customer.place, order.tariff.discount_percent
    row = OrderRow(
        order_id=order.order_id,
        customer_id=customer.customer_id,
        channel=channel,
        status="placed",
        currency=order.tariff.currency,
        exchange_rate=rate_text(order.tariff.rate),
        subtotal_amount=amount(totals.subtotal_cents),
        discount_amount=amount(totals.discount_cents),
        shipping_amount=amount(totals.shipping_cents),
        tax_amount=amount(totals.tax_cents),
        total_amount=amount(totals.total_cents),
        base_total_amount=amount(totals.base_total_cents),
        coupon_code=f"SAVE{percent}" if percent else None,
        ship_city=place.city,
        ship_region=place.region,
        ship_country=place.country.code,
        placed_at=shop.now,
        created_at=shop.now,
        updated_at=shop.now,
    )
    shop.changes.insert(row)
    for number, line in enumerate(order.lines, start=1):
        line_row = OrderLineRow(
            order_line_id=line.order_line_id,
            order_id=order.order_id,
            line_number=number,
            product_id=line.product.product_id,
            warehouse_code=line.warehouse,
            quantity=line.quantity,
            unit_price_amount=amount(line.unit_price_cents),
            line_total_amount=amount(line.total_cents),
            created_at=shop.now,
            updated_at=shop.now,
        )
        shop.changes.insert(shop.dirtier.spoil(line_row, shop.changes))
