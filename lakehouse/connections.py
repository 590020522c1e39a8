"""How services are reached, by what the environment says: passwords, the lake, the warehouse."""

from lakehouse.lake import Lake
from lakehouse.postgres import warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import MinioSettings, StackSettings, WarehouseSettings


def secrets() -> Secrets:
    """The generated passwords."""
    return Secrets(StackSettings().secrets_path)


def lake_of_reader() -> Lake:
    """The lake, for a reader."""
    return Lake.of(MinioSettings(), secrets(), user="reader")


def writing_lake() -> Lake:
    """The lake, for who makes silver and gold."""
    return Lake.of(MinioSettings(), secrets(), user="batch")


def warehouse(role: str) -> str:
    """Connection string of the warehouse."""
    return warehouse_dsn(WarehouseSettings(), secrets(), role=role)
