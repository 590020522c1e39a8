"""How to connect to services, from the environment: passwords, the lake, the warehouse."""

from lakehouse.lake import Lake
from lakehouse.postgres import warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import MinioSettings, StackSettings, WarehouseSettings


def secrets() -> Secrets:
    """Return the generated passwords."""
    return Secrets(StackSettings().secrets_path)


def lake_of_reader() -> Lake:
    """Return the lake, opened as the read-only user."""
    return Lake.of(MinioSettings(), secrets(), user="reader")


def writing_lake() -> Lake:
    """Return the lake, opened as the user that writes silver and gold."""
    return Lake.of(MinioSettings(), secrets(), user="batch")


def warehouse(role: str) -> str:
    """Return the warehouse's connection string for a role."""
    return warehouse_dsn(WarehouseSettings(), secrets(), role=role)
