"""Result of a load, as commands and tasks report it."""

from dataclasses import dataclass

from batch.warehouse.checks import CheckResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReport:
    """Result of a load for one table of `entity`.

    Attributes:
        table: its name.
        silver_version: the version of silver's table that was loaded.
        rows_read: rows read from silver.
        rows_changed: rows that were added, changed or removed.
        is_whole: whether all of silver's table was read, not only its changes.
    """

    table: str
    silver_version: int
    rows_read: int
    rows_changed: int
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WarehouseReport:
    """Result of a load. If there was nothing to load, `tables`, `checks` and `parts` are empty.

    `parts` are the steps of the transaction, in order, each with its duration in seconds.
    """

    tables: tuple[TableReport, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    parts: tuple[tuple[str, float], ...] = ()
    seconds: float = 0.0

    @property
    def rows_changed(self) -> int:
        """Return the changed rows of all tables of `entity`."""
        return sum(table.rows_changed for table in self.tables)
