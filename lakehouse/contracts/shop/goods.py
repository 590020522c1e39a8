"""Contracts of products and stock movements."""

import narwhals as nw

from lakehouse.contracts.model import (
    MOST_CENTS,
    MOST_KEY_BYTES,
    Cleaning,
    Column,
    Entity,
    OnUnknown,
    Rule,
    Type,
    day_and_month,
    row_times,
)

PRODUCTS = Entity(
    table="products",
    silver="cleaned_products",
    history="products_history",
    grain="one row per product",
    key="product_id",
    indexed=(("supplier_id",),),
    live_versions=True,
    columns=(
        Column(name="product_id", type=Type.INTEGER, required=True, description="Product id."),
        Column(
            name="supplier_id", type=Type.INTEGER, required=True, description="Its supplier.",
        ),
        Column(
            name="sku", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="The shop's code of the product.",
        ),
        Column(
            name="name", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="Name of the product.",
        ),
        Column(
            name="category", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            on_unknown=OnUnknown.COUNT,
            allowed_values=(
                "Books", "Coffee & Tea", "Electronics", "Fashion", "Garden", "Home", "Kitchen",
                "Music", "Outdoor", "Personal Care", "Sport", "Toys",
            ),
            description="Product category.",
        ),
        Column(
            name="brand", type=Type.TEXT, required=True, cleaning=Cleaning.NAME,
            description="Brand.",
        ),
        Column(
            name="description", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="Text on its page.",
        ),
        Column(
            name="price_cents", source="price_amount", type=Type.CENTS, required=True, minimum=1,
            maximum=MOST_CENTS, unit="cents of the base currency", description="Selling price.",
        ),
        Column(
            name="cost_cents", source="cost_amount", type=Type.CENTS, required=True, minimum=1,
            maximum=MOST_CENTS, unit="cents of the base currency",
            description="Purchase price of one unit.",
        ),
        Column(
            name="weight_grams", type=Type.INTEGER, required=True, minimum=1, maximum=1_000_000,
            unit="grams", description="Packed weight of one unit.",
        ),
        Column(
            name="is_active", type=Type.BOOLEAN, required=True,
            description="Whether it is offered.",
        ),
        *row_times(),
    ),
)  # fmt: skip

STOCK_MOVEMENTS = Entity(
    table="stock_movements",
    silver="cleaned_stock_movements",
    grain="one row per stock movement of a product in a warehouse",
    key="movement_id",
    indexed=(("product_id", "warehouse_code", "occurred_date"),),
    columns=(
        Column(name="movement_id", type=Type.INTEGER, required=True, description="Movement id."),
        Column(name="product_id", type=Type.INTEGER, required=True, description="The product."),
        Column(
            name="warehouse_code", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            most_bytes=MOST_KEY_BYTES, description="Where.",
        ),
        Column(
            name="kind", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            # The units count whatever the movement is called: `quantity` has the sign.
            on_unknown=OnUnknown.COUNT,
            allowed_values=("receipt", "sale", "return", "adjustment"), description="Why.",
        ),
        Column(
            name="quantity", type=Type.INTEGER, required=True, minimum=-1_000_000,
            maximum=1_000_000, unit="units", description="Units added (positive) or removed.",
        ),
        Column(
            name="order_id", type=Type.INTEGER,
            description="The order that caused it, if any.",
        ),
        Column(
            name="occurred_at", type=Type.TIMESTAMP, required=True, not_in_future=True,
            description="When.",
        ),
        *row_times(),
    ),
    derived=(
        *day_and_month("occurred", "Day of the movement."),
    ),
    rules=(
        Rule(
            name="something_moves",
            description="The quantity is not zero.",
            holds=lambda: nw.col("quantity") != 0,
        ),
    ),
    partition="occurred_month",
)  # fmt: skip
