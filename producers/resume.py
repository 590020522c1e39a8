"""Restoring of a shop from its database: customers, products, stock and open orders."""

from collections import defaultdict
from collections.abc import Sequence

from producers.geography import Country, Place, countries, places, warehouses
from producers.lifecycle import RESUME, settle_refund
from producers.money import RATE_SCALE, STEP_CENTS, Tariff, add_up, cents
from producers.shop import Customer, Line, OpenOrder, Product, Shop, Supplier
from producers.stock import reorder
from producers.stored import (
    Stored,
    StoredCustomer,
    StoredLine,
    StoredOrder,
)


def restore(shop: Shop, stored: Stored) -> bool:
    """Load the stored state into a new shop, and schedule the next steps of open orders.

    Returns:
        Whether there was any state; False if the shop is empty.
    """
    if not stored.products:
        return False
    shop.rates |= {row.currency: _rate(row.exchange_rate) for row in stored.rates}
    products = _restore_products(shop, stored)
    customers = _restore_customers(shop, stored.customers)
    lines: defaultdict[int, list[Line]] = defaultdict(list)
    for line in stored.order_lines:
        lines[line.order_id].append(_line(line, products))
    for order in stored.orders:
        # Rows of other writers may lack values that the simulator needs: they are not changed.
        if lines[order.order_id] and order.ship_country in countries():
            _restore_order(shop, order, lines[order.order_id], customers)
    for product in products.values():
        for warehouse in warehouses():
            reorder(shop, product, warehouse)
    return True


def _restore_products(shop: Shop, stored: Stored) -> dict[int, Product]:
    suppliers = {
        row.supplier_id: Supplier(supplier_id=row.supplier_id, lead_time_days=row.lead_time_days)
        for row in stored.suppliers
    }
    shop.suppliers.extend(suppliers.values())
    products = {
        row.product_id: Product(
            product_id=row.product_id,
            supplier=suppliers[row.supplier_id],
            price_cents=cents(row.price_amount),
            cost_cents=cents(row.cost_amount),
            is_active=row.is_active,
            stock=dict.fromkeys(warehouses(), 0),
        )
        for row in stored.products
    }
    for row in stored.stock:
        products[row.product_id].stock[row.warehouse_code] = row.units
    for product in products.values():
        if product.is_active:
            shop.add_product(product)
    return products


def _restore_customers(shop: Shop, rows: Sequence[StoredCustomer]) -> dict[int, Customer]:
    customers = {}
    for row in rows:
        place = _place(row.country, row.city)
        if place is not None:
            customers[row.customer_id] = Customer(customer_id=row.customer_id, place=place)
            shop.add_customer(customers[row.customer_id])
    return customers


def _restore_order(
    shop: Shop,
    row: StoredOrder,
    lines: list[Line],
    customers: dict[int, Customer],
) -> None:
    tariff = _tariff(row, countries()[row.ship_country])
    order = OpenOrder(
        order_id=row.order_id,
        customer=None if row.customer_id is None else customers.get(row.customer_id),
        device="desktop",
        tariff=tariff,
        lines=lines,
        totals=add_up([line.total_cents for line in lines], tariff),
        method=row.payment_method,
        payment_id=row.payment_id,
    )
    if order.customer is not None:
        order.customer.busy += 1
    if row.status == "placed":
        # Units of unpaid orders are reserved, but no stock movement is written before the payment.
        for line in lines:
            line.product.stock[line.warehouse] -= line.quantity
    if row.payment_kind == "refund":
        settle_refund(shop, order)
    elif row.status == "placed":
        shop.after(shop.random.uniform(0.0005, 0.01), RESUME["placed"], order)
    else:
        RESUME[row.status](shop, order)


def _line(row: StoredLine, products: dict[int, Product]) -> Line:
    return Line(
        order_line_id=row.order_line_id,
        product=products[row.product_id],
        warehouse=row.warehouse_code,
        quantity=row.quantity,
        unit_price_cents=cents(row.unit_price_amount),
    )


def _tariff(row: StoredOrder, country: Country) -> Tariff:
    return Tariff(
        currency=row.currency,
        rate=_rate(row.exchange_rate),
        step_cents=STEP_CENTS.get(row.currency, 1),
        discount_percent=row.discount_percent,
        shipping_cents=cents(row.shipping_amount),
        tax_basis_points=country.tax_basis_points,
    )


def _place(country: str, city: str) -> Place | None:
    """Return the city; None for one that the simulator does not know, of another writer."""
    return next((place for place in places().get(country, ()) if place.city == city), None)


def _rate(numeric: str) -> int:
    units, _, fraction = numeric.partition(".")
    return int(units) * RATE_SCALE + int(fraction.ljust(8, "0"))
