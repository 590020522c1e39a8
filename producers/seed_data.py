"""Seed data of an empty shop: suppliers, products with stock, customers."""

from datetime import datetime, timedelta

from producers.maintenance import add_product, add_supplier
from producers.shop import Customer, Shop
from producers.visits import add_account

SUPPLIERS = 30
PRODUCTS = 600
CUSTOMERS = 500
KEYS_NEEDED = 4 * PRODUCTS
"""Upper bound of the rows of one table in the seed data."""


def open_shop(shop: Shop) -> None:
    """Fill an empty shop. Accounts and products are dated up to a year before it."""
    opened = shop.now
    for _ in range(SUPPLIERS):
        row = shop.catalogue.supplier(
            shop.random, supplier_id=shop.keys.take("suppliers"), at=_earlier(shop)
        )
        add_supplier(shop, row)
    for _ in range(PRODUCTS):
        supplier = shop.random.choice(shop.suppliers)
        product, price_cents, cost_cents = shop.catalogue.product(
            shop.random,
            product_id=shop.keys.take("products"),
            supplier_id=supplier.supplier_id,
            at=_earlier(shop),
        )
        add_product(shop, product, supplier, price_cents, cost_cents)
    for _ in range(CUSTOMERS):
        place = shop.catalogue.place(shop.random)
        account = shop.catalogue.customer(
            shop.random, place, customer_id=shop.keys.take("customers"), at=_earlier(shop)
        )
        add_account(shop, account, Customer(customer_id=account.customer_id, place=place))
    shop.now = opened


def _earlier(shop: Shop) -> datetime:
    return shop.now - timedelta(days=365 * shop.random.random())
