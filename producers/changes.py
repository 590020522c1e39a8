"""Changes of one transaction: inserts, then updates and deletes in order, and the ledger.

Rows go to the database in bulk. An update that follows another one of the same row becomes a
later statement, so that both happen, in their order, and each makes a version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from producers.rows import TABLE_OF, Row

Kind = Literal["update", "delete", "detach"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dirt:
    """A value that is wrong on purpose. `version` is None until the update that writes it."""

    table: str
    key: int
    column: str
    fault: str
    dirty: str | None
    clean: str | None
    version: int | None

    def with_version(self, version: int) -> "Dirt":
        """Return the same with the row version that it was written in."""
        return replace(self, version=version)


@dataclass(slots=True, kw_only=True)
class Statement:
    """One statement for many rows. Each of `rows` is a key and then the values of `columns`.

    `detach` sets the customer of their orders to null; its key is the customer's.
    `dirt` lists the wrong values that the statement writes; their versions are known afterwards.
    """

    kind: Kind
    table: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    dirt: list[Dirt] = field(default_factory=list)


class Changes:
    """Collected changes of one transaction.

    Attributes:
        inserts: rows by table, in an order that foreign keys allow.
        statements: updates and deletes that follow the inserts, in order.
        dirt: wrong values in the inserts.
        count: number of changed rows.
        last_timestamp: instant of the last change, in the shop's time.
    """

    def __init__(self) -> None:
        self.inserts: dict[str, list[Row]] = {table: [] for table in TABLE_OF.values()}
        self.statements: list[Statement] = []
        self.dirt: list[Dirt] = []
        self.count = 0
        self.last_timestamp: datetime | None = None
        self._newest: dict[tuple[Kind, str, tuple[str, ...]], int] = {}
        self._last_of_row: dict[tuple[bool, str, int], int] = {}

    def insert(self, row: Row) -> None:
        """Insert a row into the table of its type."""
        self.inserts[TABLE_OF[type(row)]].append(row)
        self.count += 1

    def update(self, table: str, key: int, **values: object) -> None:
        """Update columns of one row."""
        self.update_dirty(table, key, values, ())

    def update_dirty(
        self, table: str, key: int, values: Mapping[str, object], dirt: Sequence[Dirt]
    ) -> None:
        """Update columns of one row; `dirt` lists the wrong values among them."""
        statement = self._add("update", table, tuple(values), (key, *values.values()))
        statement.dirt.extend(dirt)

    def delete(self, table: str, key: int) -> None:
        """Delete one row."""
        self._add("delete", table, (), (key,))

    def close_account(self, customer_id: int, at: datetime) -> None:
        """Delete a customer and their interactions; their orders are kept, without a customer."""
        self._add("detach", "orders", ("updated_at",), (customer_id, at))
        self._last_of_row[False, "customers", customer_id] = len(self.statements) - 1
        self.delete("customers", customer_id)

    def _add(
        self,
        kind: Kind,
        table: str,
        columns: tuple[str, ...],
        row: tuple[Any, ...],
    ) -> Statement:
        shape, row_name = (kind, table, columns), (kind == "detach", table, row[0])
        position = self._newest.get(shape, -1)
        # Which orders a detach changes is not known here: it follows all of their updates.
        if kind == "detach" or position <= self._last_of_row.get(row_name, -1):
            position = self._newest[shape] = len(self.statements)
            self.statements.append(Statement(kind=kind, table=table, columns=columns))
        self.statements[position].rows.append(row)
        self._last_of_row[row_name] = position
        self.count += 1
        return self.statements[position]
