"""How to connect to services, from the environment: passwords, the lake, the warehouse."""

from typing import TYPE_CHECKING

from lakehouse.postgres import oltp_dsn, warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import MinioSettings, OltpSettings, StackSettings, WarehouseSettings

if TYPE_CHECKING:
    from lakehouse.lake import Lake


def secrets() -> Secrets:
    """Return the generated passwords."""
    return Secrets(StackSettings().secrets_path)


def lake_of_reader() -> "Lake":
    """Return the lake, opened as the read-only user."""
    return _lake("reader")


def writing_lake() -> "Lake":
    """Return the lake, opened as the user that writes silver and gold."""
    return _lake("batch")


def warehouse(role: str) -> str:
    """Return the warehouse's connection string for a role."""
    return warehouse_dsn(WarehouseSettings(), secrets(), role=role)


def shop(role: str) -> str:
    """Return the shop's connection string for a role."""
    return oltp_dsn(OltpSettings(), secrets(), role=role)


def _lake(user: str) -> "Lake":
    # Its libraries take a quarter of a second to load, for commands that only need a password.
    from lakehouse.lake import Lake  # noqa: PLC0415

    return Lake.of(MinioSettings(), secrets(), user=user)
