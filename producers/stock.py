"""Stock in the warehouses: reservations, sales, returns, counts, reorders."""

from functools import cache

from producers.demand import share_of_demand
from producers.geography import Country, countries, warehouses
from producers.rows import StockMovementRow
from producers.shop import Product, Shop

_UNITS_PER_ORDER = 1.9
_SPARE_DAYS = 4
_DAYS_BETWEEN_ORDERS = 7


def move_stock(
    shop: Shop, product: Product, warehouse: str, quantity: int, kind: str, *, order_id: int | None
) -> None:
    """Record a stock movement; negative units leave the warehouse."""
    row = StockMovementRow(
        movement_id=shop.keys.take("stock_movements"),
        product_id=product.product_id,
        warehouse_code=warehouse,
        kind=kind,
        quantity=quantity,
        order_id=order_id,
        occurred_at=shop.now,
        created_at=shop.now,
        updated_at=shop.now,
    )
    shop.changes.insert(row)


def find_warehouse(product: Product, country: Country, quantity: int) -> str | None:
    """Return the warehouse to deliver from; None if the product is out of stock."""
    if not product.is_active:
        return None
    nearest = country.warehouse
    if product.stock[nearest] >= quantity:
        return nearest
    elsewhere = max(product.stock, key=lambda code: product.stock[code])
    return elsewhere if product.stock[elsewhere] >= quantity else None


def promise(shop: Shop, product: Product, warehouse: str, quantity: int) -> None:
    """Reserve units for an order; reorder when few are left."""
    product.stock[warehouse] -= quantity
    reorder(shop, product, warehouse)


def reorder(shop: Shop, product: Product, warehouse: str) -> None:
    """Order units from the supplier if few are left and no delivery is expected."""
    daily = _sold_daily(shop, product, warehouse)
    lead_time = product.supplier.lead_time_days
    # Some deliveries are late by more than these days, so that some products run out.
    is_low = product.stock[warehouse] < 2 + daily * (lead_time + _SPARE_DAYS)
    if not is_low or warehouse in product.awaited or not product.is_active:
        return
    product.awaited.add(warehouse)
    quantity = order_quantity(shop, product, warehouse)
    shop.after(lead_time * shop.random.uniform(0.7, 1.5), _receive, product, warehouse, quantity)


def order_quantity(shop: Shop, product: Product, warehouse: str) -> int:
    """Return the units to order: about as many as are sold until the next delivery."""
    days = product.supplier.lead_time_days + _DAYS_BETWEEN_ORDERS
    wanted = 10 + _sold_daily(shop, product, warehouse) * days
    return -(-int(wanted) // 5) * 5


def count_stock(shop: Shop) -> None:
    """Record a stocktaking: some units of a product were lost, broken or found again."""
    product = shop.popular_product()
    warehouse = shop.random.choice(warehouses())
    difference = shop.random.choice((-3, -2, -1, -1, -1, 1, 2))
    if product.stock[warehouse] + difference < 0:
        return
    move_stock(shop, product, warehouse, difference, "adjustment", order_id=None)
    promise(shop, product, warehouse, -difference)


def _receive(shop: Shop, product: Product, warehouse: str, quantity: int) -> None:
    product.awaited.discard(warehouse)
    move_stock(shop, product, warehouse, quantity, "receipt", order_id=None)
    promise(shop, product, warehouse, -quantity)


def _sold_daily(shop: Shop, product: Product, warehouse: str) -> float:
    share = share_of_demand(product.product_id) * _warehouse_shares().get(warehouse, 0)
    return shop.day_length * _UNITS_PER_ORDER * share


@cache
def _warehouse_shares() -> dict[str, float]:
    total = sum(country.weight for country in countries().values())
    shares = dict.fromkeys(warehouses(), 0.0)
    for country in countries().values():
        shares[country.warehouse] += country.weight / total
    return shares
