"""What one transaction writes: inserts, then updates and deletes in order, and the ledger.

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
    """A value written wrong on purpose. `version` is None until an update has made it."""

    table: str
    key: int
    column: str
    fault: str
    dirty: str | None
    clean: str | None
    version: int | None

    def with_version(self, version: int) -> "Dirt":
        """The same, once it is known which version it made."""
        return replace(self, version=version)


@dataclass(slots=True, kw_only=True)
class Statement:
    """One statement for many rows. Each of `rows` is a key and then the values of `columns`.

    `detach` takes the customer off their orders; its key is the customer's.
    `dirt` is what the statement writes wrong, waiting for the versions it makes.
    """

    kind: Kind
    table: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    dirt: list[Dirt] = field(default_factory=list)


class Changes:
    """The changes of one transaction, in the making.

    Attributes:
        inserts: rows by table, in an order that foreign keys allow.
        statements: what is done after the inserts, in order.
        dirt: what the inserts write wrong.
        count: rows changed.
        last_timestamp: when the last of it happened, in the shop's time.
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
        """Add a row to the table of its shape."""
        self.inserts[TABLE_OF[type(row)]].append(row)
        self.count += 1

    def update(self, table: str, key: int, **values: object) -> None:
        """Set columns of one row."""
        self.update_dirty(table, key, values, ())

    def update_dirty(
        self, table: str, key: int, values: Mapping[str, object], dirt: Sequence[Dirt]
    ) -> None:
        """Set columns of one row; `dirt` says which of the values are wrong."""
        statement = self._add("update", table, tuple(values), (key, *values.values()))
        statement.dirt.extend(dirt)

    def delete(self, table: str, key: int) -> None:
        """Delete one row."""
        self._add("delete", table, (), (key,))

    def close_account(self, customer_id: int, at: datetime) -> None:
        """Delete a customer; their orders stay, without them, and their interactions go along."""
        self._add("detach", "orders", ("updated_at",), (customer_id, at))
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
        if position <= self._last_of_row.get(row_name, -1):
            position = self._newest[shape] = len(self.statements)
            self.statements.append(Statement(kind=kind, table=table, columns=columns))
        self.statements[position].rows.append(row)
        self._last_of_row[row_name] = position
        self.count += 1
        return self.statements[position]
