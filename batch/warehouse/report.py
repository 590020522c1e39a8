"""What a load did, as commands and tasks tell it."""

from dataclasses import dataclass

from batch.warehouse.checks import CheckResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReport:
    """What a load did to one table of `entity`.

    Attributes:
        table: its name.
        silver_version: the version of silver's table that it now holds.
        rows_read: from silver.
        rows_changed: that were new, other or gone.
        is_whole: all of silver's table was read, not its changes.
    """

    table: str
    silver_version: int
    rows_read: int
    rows_changed: int
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WarehouseReport:
    """What a load did. Without anything new, `tables`, `checks` and `parts` are empty.

    `parts` of the transaction are in order, each with the seconds that it took.
    """

    tables: tuple[TableReport, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    parts: tuple[tuple[str, float], ...] = ()
    seconds: float = 0.0

    @property
    def rows_changed(self) -> int:
        """All tables of `entity` together."""
        return sum(table.rows_changed for table in self.tables)
