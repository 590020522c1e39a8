"""A small silver on the local disk, for tests of gold. Rows are merged as silver merges them."""

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pyarrow as pa

from batch.gold.silver import SCHEMAS
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.gold import month_of
from lakehouse.delta import open_or_create, table_properties
from lakehouse.lake import Lake

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
_ENTITIES = {entity.silver: entity for entity in ENTITIES.values()}
_HISTORIES = {entity.history: entity for entity in ENTITIES.values() if entity.history}
_DATED = {"cleaned_sales": "placed", "cleaned_stock_movements": "occurred",
          "cleaned_interactions": "occurred"}  # fmt: skip
_CREATED = ("cleaned_sale_lines", "cleaned_payments")
Row = dict[str, Any]


def row(table: str, **values: Any) -> Row:
    """A row of silver with these values, nulls, and the day and month of its timestamp."""
    made = dict.fromkeys(SCHEMAS[table].names) | values
    what = _DATED.get(table, "created" if table in _CREATED else None)
    if what and (at := made[f"{what}_at"]) is not None:
        made |= {f"{what}_date": at.date(), f"{what}_month": month_of(at)}
    return made


def frame(table: str, *rows: Row) -> "nw.LazyFrame[Any]":
    """Rows of a silver table, as input of a transformation."""
    return nw.from_native(_polars(table, rows).lazy())


def rows(of: "nw.LazyFrame[Any]", *by: str) -> list[Row]:
    """The rows of a transformation, sorted."""
    return pl.DataFrame(of.collect().to_native()).sort(by).to_dicts()


def order(order_id: int, **values: Any) -> Row:
    """A paid order of 100.00 in the base currency, without shipping, tax or discount."""
    return row("cleaned_sales", **{
        "order_id": order_id, "customer_id": 1, "channel": "web", "status": "paid",
        "currency": "EUR", "exchange_rate_e8": 10**8, "subtotal_cents": 10_000,
        "discount_cents": 0, "shipping_cents": 0, "tax_cents": 0, "total_cents": 10_000,
        "base_total_cents": 10_000, "ship_country": "DE", "ship_region": "Berlin",
        "ship_region_code": "DE-BE", "placed_at": NOON, "paid_at": NOON,
    } | values)  # fmt: skip


def line(order_line_id: int, order_id: int, line_total_cents: int, **values: Any) -> Row:
    """An order line with one unit of product 1."""
    return row("cleaned_sale_lines", **{
        "order_line_id": order_line_id, "order_id": order_id, "product_id": 1, "quantity": 1,
        "warehouse_code": "A", "line_total_cents": line_total_cents, "created_at": NOON,
    } | values)  # fmt: skip


def refund(payment_id: int, order_id: int, amount_cents: int, **values: Any) -> Row:
    """A captured refund."""
    return row("cleaned_payments", **{
        "payment_id": payment_id, "order_id": order_id, "kind": "refund", "status": "captured",
        "amount_cents": amount_cents, "created_at": NOON,
    } | values)  # fmt: skip


def version(product_id: int, offset: int, since: datetime, until: datetime | None = None,
            **values: Any) -> Row:  # fmt: skip
    """A version of a product."""
    return row("products_history", **{
        "product_id": product_id, "_epoch": 0, "_offset": offset, "valid_from_at": since,
        "valid_to_at": until, "category": "Books", "cost_cents": 400,
    } | values)  # fmt: skip


def visit(interaction_id: int, what: str, **values: Any) -> Row:
    """An interaction of session `s` on a desktop."""
    return row("cleaned_interactions", **{
        "interaction_id": interaction_id, "session_id": "s", "interaction_type": what,
        "device": "desktop", "occurred_at": NOON,
    } | values)  # fmt: skip


def movement(movement_id: int, kind: str, quantity: int, **values: Any) -> Row:
    """A movement of product 1 in warehouse A."""
    return row("cleaned_stock_movements", **{
        "movement_id": movement_id, "product_id": 1, "warehouse_code": "A", "kind": kind,
        "quantity": quantity, "occurred_at": NOON,
    } | values)  # fmt: skip


@dataclass
class LocalSilver:
    """Delta tables below a directory."""

    root: Path
    offset: int = 0
    current: dict[str, dict[int, Row]] = field(default_factory=dict)

    @property
    def lake(self) -> Lake:
        return self.with_gold("gold")

    def with_gold(self, name: str) -> Lake:
        return Lake(
            bronze=f"{self.root}/bronze", silver=f"{self.root}/silver",
            gold=f"{self.root}/{name}", options={},
        )  # fmt: skip

    def merge(self, table: str, *changed: Row) -> None:
        """Insert rows, or replace those with the same key."""
        if not changed:
            return
        delta = self._open(table)
        keys = [_ENTITIES[table].key] if table in _ENTITIES else [
            _HISTORIES[table].key, "_epoch", "_offset"]  # fmt: skip
        same = " and ".join(f"t.{key} = s.{key}" for key in keys)
        source = _polars(table, changed).to_arrow().cast(SCHEMAS[table])
        merging = delta.merge(source, predicate=same, source_alias="s", target_alias="t")
        merging.when_matched_update_all().when_not_matched_insert_all().execute()
        if table in _ENTITIES:
            known = self.current.setdefault(table, {})
            for one in changed:
                known[one[keys[0]]] = one

    def delete(self, table: str, key: int) -> None:
        """Mark a row as deleted, as silver does: all values but the key are null."""
        self.merge(table, row(table, **{_ENTITIES[table].key: key, "_deleted_at": NOON}))
        del self.current[table][key]

    def _open(self, table: str):
        entity = _ENTITIES.get(table)
        partition = entity.partition if entity else None
        return open_or_create(
            self.lake.uri("silver", table), {}, SCHEMAS[table],
            partition_by=[partition] if partition else [],
            properties=table_properties(retention_hours=1, has_change_feed=True),
        )  # fmt: skip


class RandomShop:
    """Changes silver at random: new rows, changed days, late lines, deletes, new categories."""

    def __init__(self, silver: LocalSilver, seed: int) -> None:
        self.silver = silver
        self.random = random.Random(seed)
        self.number = 0
        self.late: list[Row] = []
        self.versions: dict[int, list[Row]] = {}

    def next_batch(self) -> None:
        """One merge or more into some of the tables."""
        for step in self.random.sample(
            (self._products, self._orders, self._lines, self._refunds, self._visits, self._stock,
             self._deletes, self._moves),
            k=6,
        ):  # fmt: skip
            step()

    def _id(self) -> int:
        self.number += 1
        return self.number

    def _at(self) -> datetime:
        return NOON + timedelta(hours=self.random.randint(0, 24 * 80))

    def _any(self, table: str) -> Row | None:
        rows = list(self.silver.current.get(table, {}).values())
        return self.random.choice(rows) if rows else None

    def _products(self) -> None:
        for product in self.random.sample(range(1, 7), k=2):
            known = self.versions.setdefault(product, [])
            made = version(
                product, self._id(), self._at(), category=self.random.choice(("Books", "Toys")),
                cost_cents=self.random.randint(1, 900),
            )  # fmt: skip
            known.append(made)
            # A late version is inserted between others.
            known.sort(key=lambda one: (one["valid_from_at"], one["_offset"]))
            for one, after in zip(known, [*known[1:], None], strict=True):
                one["valid_to_at"] = after and after["valid_from_at"]
            self.silver.merge("products_history", *known)

    def _orders(self) -> None:
        made = []
        for _ in range(self.random.randint(1, 5)):
            order_id, at = self._id(), self._at()
            lines = [
                line(self._id(), order_id, self.random.randint(0, 5_000), created_at=at,
                     product_id=self.random.randint(1, 6), quantity=self.random.randint(1, 3))
                for _ in range(self.random.randint(1, 3))
            ]  # fmt: skip
            made.append(self._order(order_id, at, sum(one["line_total_cents"] for one in lines)))
            on_time = [one for one in lines if self.random.random() < 0.7]
            self.late += [one for one in lines if one not in on_time]
            self.silver.merge("cleaned_sale_lines", *on_time)
        self.silver.merge("cleaned_sales", *made)

    def _order(self, order_id: int, at: datetime, subtotal: int) -> Row:
        rate = self.random.choice((10**8, 92_000_000, 610_000))
        discount = subtotal * self.random.choice((0, 0, 10, 33)) // 100
        shipping, tax = self.random.choice((0, 490)), self.random.randint(0, 700)
        total = subtotal - discount + shipping + tax
        is_lost = self.random.random() < 0.2
        return order(
            order_id, placed_at=at, paid_at=None if is_lost else at, exchange_rate_e8=rate,
            status="cancelled" if is_lost else "paid", subtotal_cents=subtotal,
            discount_cents=discount, shipping_cents=shipping, tax_cents=tax, total_cents=total,
            base_total_cents=(total * rate + 5 * 10**7) // 10**8,
            customer_id=self.random.choice((None, 1, 2, 3, 4)),
            ship_country=self.random.choice(("DE", "FR")), channel=self.random.choice("ab"),
        )  # fmt: skip

    def _lines(self) -> None:
        self.silver.merge("cleaned_sale_lines", *self.late)
        self.late = []

    def _refunds(self) -> None:
        if found := self._any("cleaned_sales"):
            amount = self.random.randint(1, found["total_cents"] + 1)
            self.silver.merge(
                "cleaned_payments",
                refund(self._id(), found["order_id"], amount, created_at=self._at()),
            )

    def _visits(self) -> None:
        kinds = ("view", "cart", "checkout", "purchase", "review")
        self.silver.merge("cleaned_interactions", *(
            visit(self._id(), self.random.choice(kinds), session_id=self.random.choice("stuv"),
                  occurred_at=self._at(), device=self.random.choice(("desktop", "tablet")),
                  customer_id=self.random.choice((None, 1, 2)), rating=3,
                  product_id=self.random.choice((None, 1, 2, 3)))
            for _ in range(6)
        ))  # fmt: skip

    def _stock(self) -> None:
        kinds = {"receipt": 90, "sale": -7, "return": 2, "adjustment": -1}
        self.silver.merge("cleaned_stock_movements", *(
            movement(self._id(), kind, kinds[kind], product_id=self.random.randint(1, 4),
                     warehouse_code=self.random.choice("AB"), occurred_at=self._at())
            for kind in self.random.choices(list(kinds), k=4)
        ))  # fmt: skip

    def _deletes(self) -> None:
        for table in self.random.sample(
            sorted(self.silver.current), k=min(3, len(self.silver.current))
        ):
            if found := self._any(table):
                self.silver.delete(table, found[_ENTITIES[table].key])

    def _moves(self) -> None:
        """Change the day, customer or order of an existing row."""
        for table, what in _DATED.items():
            if found := self._any(table):
                other = {f"{what}_at": self._at(), "customer_id": self.random.choice((None, 1, 5))}
                self.silver.merge(table, row(table, **found | {
                    name: value for name, value in other.items() if name in found
                }))  # fmt: skip
        line_found, order_found = self._any("cleaned_sale_lines"), self._any("cleaned_sales")
        if line_found and order_found:
            moved = line_found | {"order_id": order_found["order_id"]}
            self.silver.merge("cleaned_sale_lines", moved)


def day(number: int) -> date:
    """A day of January 2026."""
    return date(2026, 1, number)


def _polars(table: str, of: tuple[Row, ...] | list[Row]) -> pl.DataFrame:
    return pl.DataFrame(pa.Table.from_pylist(list(of), schema=SCHEMAS[table]))
