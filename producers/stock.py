"""Units in the warehouses: promised, sold, returned, counted, ordered anew; they can run out."""

from functools import cache

from producers.demand import share_of_demand
from producers.geography import Country, countries, warehouses
from producers.rows import StockMovementRow
from producers.shop import Product, Shop

_UNITS_PER_ORDER = 1.9


def move_stock(
    shop: Shop, product: Product, warehouse: str, quantity: int, kind: str, *, order_id: int | None
) -> None:
    """Write down that units came (or, if negative, went)."""
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
    """The warehouse to deliver from; None if the product has run out."""
    if not product.is_active:
        return None
    nearest = country.warehouse
    if product.stock[nearest] >= quantity:
        return nearest
    elsewhere = max(product.stock, key=lambda code: product.stock[code])
    return elsewhere if product.stock[elsewhere] >= quantity else None


def promise(shop: Shop, product: Product, warehouse: str, quantity: int) -> None:
    """Keep units for an order; order more when few are left."""
    product.stock[warehouse] -= quantity
    reorder(shop, product, warehouse)


def reorder(shop: Shop, product: Product, warehouse: str) -> None:
    """Order more units from the supplier if few are left and none are on their way."""
    daily = _sold_daily(shop, product, warehouse)
    lead_time = product.supplier.lead_time_days
    # Not quite what is sold until they come, so that some products run out, as they do.
    is_low = product.stock[warehouse] < 2 + daily * lead_time * 0.9
    if not is_low or warehouse in product.awaited or not product.is_active:
        return
    product.awaited.add(warehouse)
    quantity = order_quantity(shop, product, warehouse)
    shop.after(lead_time * shop.random.uniform(0.7, 1.5), _receive, product, warehouse, quantity)


def order_quantity(shop: Shop, product: Product, warehouse: str) -> int:
    """How many units to order at a time: about as many as are sold until the next delivery."""
    days = product.supplier.lead_time_days + 4
    wanted = 10 + _sold_daily(shop, product, warehouse) * days
    return -(-int(wanted) // 5) * 5


def count_stock(shop: Shop) -> None:
    """Somebody counts the units of a product: some were lost, broken, or found again."""
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
