"""A lake in a folder, and bronze tables filled with changes as Debezium writes them."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import orjson
import polars as pl
import pyarrow as pa
from deltalake import write_deltalake

from batch.silver.run import SilverRules
from batch.silver.sizes import BatchLimits
from lakehouse.cleaning.validator import Validator
from lakehouse.contracts import ENTITIES, Entity
from lakehouse.delta import open_or_create, scan, table_properties, with_watermarks
from lakehouse.lake import BRONZE_SCHEMA, EPOCHS_PROPERTY, Lake
from lakehouse.offsets import kafka_app_id

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class CachingRules(SilverRules):
    """Makes each validator once: to build its expressions takes longer than to run few rows."""

    def validator(self, entity: Entity) -> Validator:
        return _validator(self, entity)


@cache
def _validator(rules: SilverRules, entity: Entity) -> Validator:
    return SilverRules.validator(rules, entity)


RULES = CachingRules(time_zone="Europe/Paris", retention_hours=168, batch=BatchLimits(records=1000))

CUSTOMER = {
    "first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com",
    "phone": "+44 20 7946 0958", "birth_date": 3000, "street": "1 Example Road",
    "postal_code": "W1", "city": "London", "region": "England", "country": "GB",
    "latitude": "51.500000", "longitude": "-0.120000", "accepts_marketing": False,
}  # fmt: skip
ORDER_LINE = {
    "order_id": 1, "line_number": 1, "product_id": 1, "warehouse_code": "FR-LIL", "quantity": 2,
    "unit_price_amount": "9.99", "line_total_amount": "19.98",
}  # fmt: skip
ORDER = {
    "customer_id": 1, "channel": "web", "status": "placed", "currency": "EUR",
    "exchange_rate": "1.00000000", "subtotal_amount": "19.98", "discount_amount": "0.00",
    "shipping_amount": "0.00", "tax_amount": "0.00", "total_amount": "19.98",
    "base_total_amount": "19.98", "coupon_code": None, "ship_city": "Lille",
    "ship_region": "Hauts-de-France", "ship_country": "FR",
    "placed_at": "2026-03-01T12:00:00.000000Z",
    **dict.fromkeys(
        ("paid_at", "packed_at", "shipped_at", "delivered_at", "cancelled_at", "returned_at",
         "refunded_at")
    ),
}  # fmt: skip
ROWS = {
    "customers": CUSTOMER,
    "order_lines": ORDER_LINE,
    "orders": ORDER,
    "suppliers": {
        "name": "Mill", "contact_name": "Ada", "email": "mill@example.com",
        "phone": "+442079460958", "country": "GB", "city": "London", "lead_time_days": 3,
    },
    "products": {
        "supplier_id": 1, "sku": "A1", "name": "Lamp", "category": "Home", "brand": "Lux",
        "description": "A lamp.", "price_amount": "9.99", "cost_amount": "4.00",
        "weight_grams": 900, "is_active": True,
    },
    "payments": {
        "order_id": 1, "kind": "payment", "method": "card", "status": "captured",
        "amount": "19.98", "currency": "EUR", "provider_reference": "p1", "settled_at": None,
    },
    "returns": {
        "order_id": 1, "order_line_id": 1, "quantity": 1, "reason": "damaged",
        "condition": "opened", "refund_amount": "9.99",
        "returned_at": "2026-03-01T12:00:00.000000Z",
    },
    "stock_movements": {
        "product_id": 1, "warehouse_code": "FR-LIL", "kind": "receipt", "quantity": 3,
        "order_id": None, "occurred_at": "2026-03-01T12:00:00.000000Z",
    },
    "interactions": {
        "customer_id": 1, "session_id": "s", "product_id": 1, "interaction_type": "view",
        "device": "mobile", "referrer": None, "rating": None,
        "occurred_at": "2026-03-01T12:00:00.000000Z",
    },
}  # fmt: skip
"""A valid row of each table, without its key and what every row has."""


def iso(instant):
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Source:
    """One table of the shop: what happens to its rows, and bronze's table of it.

    Keys go to partitions as Kafka would: all changes of a key are in one.
    """

    lake: Lake
    table: str
    row: dict
    partitions: int = 2
    topic_id: str = "topic"
    epoch: int = 0
    moment: int = 0
    next_offset: dict = field(default_factory=dict)
    rows: dict = field(default_factory=dict)
    waiting: list = field(default_factory=list)

    @property
    def entity(self):
        return ENTITIES[self.table]

    def change(self, key, op, *, at=None, **values):
        """A change of a row; `values` are the shop's columns, `...` leaves one out."""
        self.moment += 1
        now = at or START + timedelta(minutes=self.moment)
        before = self.rows.get(key)
        if op == "d":
            after = None
            self.rows.pop(key, None)
        else:
            version = (before or {}).get("version", 0) + 1
            times = {"created_at": iso(START), "updated_at": iso(now), "version": version}
            after = {self.entity.key: key, **self.row, **(before or {}), **times, **values}
            after = {name: value for name, value in after.items() if value is not ...}
            self.rows[key] = after
        committed = START + timedelta(minutes=self.moment)
        source = {"table": self.table, "lsn": 1000 + self.moment, "txId": self.moment,
                  "ts_us": int(committed.timestamp() * 1e6)}  # fmt: skip
        value = {"before": before, "after": after, "source": source, "op": op}
        return self.record(key, orjson.dumps(value))

    def record(self, key, value):
        """Any record."""
        partition = key % self.partitions if isinstance(key, int) else 0
        offset = self.next_offset.get(partition, 0)
        self.next_offset[partition] = offset + 1
        self.waiting.append({
            "key": orjson.dumps({self.entity.key: key}), "value": value,
            "_topic_id": self.topic_id, "_epoch": self.epoch, "_partition": partition,
            "_offset": offset, "_timestamp": START, "_headers": None, "_date": START.date(),
        })  # fmt: skip
        return self

    def records(self):
        """What has not landed, as silver reads it."""
        return pl.DataFrame(self.landing()).drop("_headers", "_date")

    def landing(self):
        """The same, as it lands."""
        return pa.Table.from_pylist(self.waiting, schema=BRONZE_SCHEMA)

    def land(self, *, beyond=0):
        """Append what has happened to bronze; `beyond` offsets without a record end it."""
        delta = self.bronze()
        ends = {p: n + beyond for p, n in self.next_offset.items()}
        write_deltalake(
            delta,
            self.landing(),
            mode="append",
            commit_properties=with_watermarks(
                {kafka_app_id(self.topic_id, p): end - 1 for p, end in ends.items()}
            ),
        )
        self.next_offset = ends
        self.waiting = []
        return self

    def bronze(self):
        epochs = [{"epoch": self.epoch, "topic_id": self.topic_id,
                   "partition_count": self.partitions}]  # fmt: skip
        properties = table_properties(retention_hours=24, has_change_feed=False)
        return open_or_create(
            self.lake.uri("bronze", self.entity.bronze),
            self.lake.options,
            BRONZE_SCHEMA,
            partition_by=["_date"],
            properties={**properties, EPOCHS_PROPERTY: json.dumps(epochs)},
        )


def new_lake(folder):
    folder = Path(folder)
    for layer in ("bronze", "silver", "gold"):
        (folder / layer).mkdir(parents=True, exist_ok=True)
    return Lake(
        bronze=str(folder / "bronze"), silver=str(folder / "silver"), gold=str(folder / "gold"),
        options={},
    )  # fmt: skip


def customers(lake, **options):
    return Source(lake=lake, table="customers", row=CUSTOMER, **options)


def order_lines(lake, **options):
    return Source(lake=lake, table="order_lines", row=ORDER_LINE, **options)


def source_of(lake, table, **options):
    """A table of the shop, by name."""
    return Source(lake=lake, table=table, row=ROWS[table], topic_id=table, **options)


def rows_of(lake, table, *, layer="silver"):
    """All rows of a table, as dictionaries, in an order of their own."""
    delta = lake.open(layer, table)
    return [] if delta is None else sorted(scan(delta).collect().to_dicts(), key=repr)


def live(lake, table):
    return [row for row in rows_of(lake, table) if row["_deleted_at"] is None]
