"""Events other than sales: prices, suppliers, products, moves, closed accounts, exchange rates."""

from collections.abc import Callable

from producers.catalogue import phone
from producers.geography import warehouses
from producers.money import amount
from producers.rows import ProductRow, SupplierRow
from producers.shop import Product, Shop, Supplier
from producers.stock import count_stock, move_stock, order_quantity
from producers.visits import sign_up


def begin_maintenance(shop: Shop) -> None:
    """Schedule the first of each of these events."""
    for event, orders_between in _RECURRING:
        _recur(shop, event, orders_between, now=False)


def add_supplier(shop: Shop, row: SupplierRow) -> None:
    """Add a supplier."""
    shop.changes.insert(shop.dirtier.spoil(row, shop.changes))
    supplier = Supplier(supplier_id=row.supplier_id, lead_time_days=row.lead_time_days)
    shop.suppliers.append(supplier)


def add_product(
    shop: Shop, row: ProductRow, supplier: Supplier, price_cents: int, cost_cents: int
) -> None:
    """Add a product, with some units in each warehouse."""
    shop.changes.insert(shop.dirtier.spoil(row, shop.changes))
    product = Product(
        product_id=row.product_id,
        supplier=supplier,
        price_cents=price_cents,
        cost_cents=cost_cents,
    )
    shop.add_product(product)
    for warehouse in warehouses():
        product.stock[warehouse] = order_quantity(shop, product, warehouse)
        move_stock(shop, product, warehouse, product.stock[warehouse], "receipt", order_id=None)


def launch_product(shop: Shop) -> None:
    """Add a new product."""
    supplier = shop.random.choice(shop.suppliers)
    row, price_cents, cost_cents = shop.catalogue.product(
        shop.random,
        product_id=shop.keys.take("products"),
        supplier_id=supplier.supplier_id,
        at=shop.now,
    )
    add_product(shop, row, supplier, price_cents, cost_cents)


def _recur(
    shop: Shop, event: Callable[[Shop], object], orders_between: float, *, now: bool = True
) -> None:
    if now:
        event(shop)
    wait = shop.random.expovariate(1 / orders_between)
    shop.at(shop.moment + wait, _recur, event, orders_between)


def _change_price(shop: Shop) -> None:
    product = shop.random.choice(shop.products)
    new_price = product.price_cents * shop.random.uniform(0.85, 1.18)
    product.price_cents = max(int(round(new_price, -1)), 90)
    shop.changes.update(
        "products",
        product.product_id,
        price_amount=amount(product.price_cents),
        updated_at=shop.now,
    )


def _change_supplier(shop: Shop) -> None:
    product, supplier = shop.random.choice(shop.products), shop.random.choice(shop.suppliers)
    product.supplier = supplier
    product.cost_cents = max(int(product.cost_cents * shop.random.uniform(0.9, 1.1)), 1)
    shop.changes.update(
        "products",
        product.product_id,
        supplier_id=supplier.supplier_id,
        cost_amount=amount(product.cost_cents),
        updated_at=shop.now,
    )


def _discontinue_product(shop: Shop) -> None:
    product = shop.products[int(shop.random.random() * len(shop.products))]
    product.is_active = False
    shop.remove_product(product)
    shop.changes.update("products", product.product_id, is_active=False, updated_at=shop.now)


def _renew_contract(shop: Shop) -> None:
    supplier = shop.random.choice(shop.suppliers)
    supplier.lead_time_days = shop.random.randint(1, 9)
    shop.changes.update(
        "suppliers",
        supplier.supplier_id,
        lead_time_days=supplier.lead_time_days,
        updated_at=shop.now,
    )


def _move_house(shop: Shop) -> None:
    """Move a customer, mostly within the country; some get another phone number."""
    customer = shop.loyal_customer()
    country = customer.place.country if shop.chance(0.9) else None
    customer.place = shop.catalogue.place(shop.random, within=country)
    values: dict[str, object] = dict(shop.catalogue.address(shop.random, customer.place)._asdict())
    if shop.chance(0.3):
        values["phone"] = phone(shop.random, customer.place.country)
    values["updated_at"] = shop.now
    spoiled, dirt = shop.dirtier.spoil_update("customers", customer.customer_id, values)
    shop.changes.update_dirty("customers", customer.customer_id, spoiled, dirt)


def _close_account(shop: Shop) -> None:
    """Delete a customer's account and interactions; their orders are kept."""
    customer = shop.forget_idle_customer()
    if customer is not None:
        shop.changes.close_account(customer.customer_id, shop.now)


def _quote_rates(shop: Shop) -> None:
    for currency, rate in shop.rates.items():
        if currency != shop.base_currency:
            shop.rates[currency] = max(int(rate * shop.random.uniform(0.996, 1.004)), 1)


_RECURRING: tuple[tuple[Callable[[Shop], object], float], ...] = (
    (sign_up, 25),
    (_change_price, 80),
    (count_stock, 100),
    (_move_house, 120),
    (_close_account, 400),
    (_quote_rates, 1_000),
    (_change_supplier, 1_000),
    (_renew_contract, 1_500),
    (launch_product, 2_000),
    (_discontinue_product, 2_500),
)
"""Recurring events, and the mean number of orders between two of them."""
