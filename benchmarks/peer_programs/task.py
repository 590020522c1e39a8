"""What a program is told, in JSON, and what it tells."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BEGINS = "begins"
"""Told when everything is ready and the first message is about to be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Where the topic and the store are."""

    bootstrap_servers: str
    topic: str
    endpoint: str
    access_key: str
    secret_key: str
    region: str
    bucket: str
    folder: str
    """Local state of the system, which outlives a killed program."""
    jars: str

    def path_of(self, table: str) -> str:
        """Return where a table lies, without the scheme, which systems call differently."""
        return path_of(self.bucket, table)

    def state_of(self, table: str) -> Path:
        """Return a folder for the state of one table, created if need be."""
        folder = Path(self.folder) / table
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def delta_options(self) -> dict[str, str]:
        """Return options for delta-rs."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
            "aws_conditional_put": "etag",
        }


def path_of(bucket: str, table: str) -> str:
    """Return bucket and key of a table. dlt wants a folder between them."""
    return f"{bucket}/{table}/messages"


def begin() -> None:
    """Tell that the program begins to read."""
    sys.stdout.write(f"{BEGINS}\n")
    sys.stdout.flush()


def land_each(land: Callable[[Task, str], None]) -> None:
    """Land in each table named on the command line, one after the other."""
    task = Task(**json.loads(sys.argv[1]))
    for table in sys.argv[2:]:
        land(task, table)
