"""Contracts of products and of the movements of their stock."""

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
    columns=(
        Column(name="product_id", type=Type.INTEGER, required=True, description="The product."),
        Column(
            name="supplier_id", type=Type.INTEGER, required=True, description="Who delivers it.",
        ),
        Column(
            name="sku", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="The shop's own code for it.",
        ),
        Column(
            name="name", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="What it is called.",
        ),
        Column(
            name="category", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            on_unknown=OnUnknown.COUNT,
            allowed_values=(
                "Books", "Coffee & Tea", "Electronics", "Fashion", "Garden", "Home", "Kitchen",
                "Music", "Outdoor", "Personal Care", "Sport", "Toys",
            ),
            description="The shelf it stands on.",
        ),
        Column(
            name="brand", type=Type.TEXT, required=True, cleaning=Cleaning.NAME,
            description="Brand.",
        ),
        Column(
            name="description", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="What its page says.",
        ),
        Column(
            name="price_cents", source="price_amount", type=Type.CENTS, required=True, minimum=1,
            maximum=MOST_CENTS, unit="cents of the base currency", description="Its price.",
        ),
        Column(
            name="cost_cents", source="cost_amount", type=Type.CENTS, required=True, minimum=1,
            maximum=MOST_CENTS, unit="cents of the base currency",
            description="What the supplier takes for one.",
        ),
        Column(
            name="weight_grams", type=Type.INTEGER, required=True, minimum=1, maximum=1_000_000,
            unit="grams", description="Weight of one, packed.",
        ),
        Column(
            name="is_active", type=Type.BOOLEAN, required=True,
            description="Whether it is on sale.",
        ),
        *row_times(),
    ),
)  # fmt: skip

STOCK_MOVEMENTS = Entity(
    table="stock_movements",
    silver="cleaned_stock_movements",
    grain="one row per change of the units of a product in a warehouse",
    key="movement_id",
    columns=(
        Column(name="movement_id", type=Type.INTEGER, required=True, description="The movement."),
        Column(name="product_id", type=Type.INTEGER, required=True, description="What is moved."),
        Column(
            name="warehouse_code", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            most_bytes=MOST_KEY_BYTES, description="Where.",
        ),
        Column(
            name="kind", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            # Units that came or went did so, whatever it is called: `quantity` has the sign.
            on_unknown=OnUnknown.COUNT,
            allowed_values=("receipt", "sale", "return", "adjustment"), description="Why.",
        ),
        Column(
            name="quantity", type=Type.INTEGER, required=True, minimum=-1_000_000,
            maximum=1_000_000, unit="units", description="Units that come (positive) or go.",
        ),
        Column(
            name="order_id", type=Type.INTEGER,
            description="The order it is for, if it is for one.",
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
            description="A movement moves at least one unit.",
            holds=lambda: nw.col("quantity") != 0,
        ),
    ),
    partition="occurred_month",
)  # fmt: skip
