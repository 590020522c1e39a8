"""What commands that work on the lake share: the lake, the rules, and the lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.output import err_console
from lakehouse.lake import Lake
from lakehouse.postgres import warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import (
    ConsolidationSettings,
    MinioSettings,
    StackSettings,
    WarehouseSettings,
)

if TYPE_CHECKING:
    from batch.silver.run import SilverRules


def secrets() -> Secrets:
    """The generated passwords."""
    return Secrets(StackSettings().secrets_path)


def reading_lake() -> Lake:
    """The lake, for a reader."""
    return Lake.of(MinioSettings(), secrets(), user="reader")


def writing_lake() -> Lake:
    """The lake, for who makes silver and gold."""
    return Lake.of(MinioSettings(), secrets(), user="batch")


def warehouse(role: str) -> str:
    """Connection string of the warehouse."""
    return warehouse_dsn(WarehouseSettings(), secrets(), role=role)


def silver_rules() -> "SilverRules":
    """What the contracts leave to settings."""
    from batch.silver.run import SilverRules

    return SilverRules.of_settings()


@contextmanager
def consolidating(what: str) -> Iterator[None]:
    """Hold the lock that lets one program at a time write silver, gold and the warehouse."""
    from batch.lock import only_one

    def tell(who: str) -> None:
        err_console.print(f"Waiting: {who}", markup=False)

    seconds = ConsolidationSettings().lock_seconds
    with only_one(warehouse("batch"), what, wait_seconds=seconds, on_wait=tell):
        yield
