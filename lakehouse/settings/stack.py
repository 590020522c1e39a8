"""Settings of the stack: its directories and processes, and their defaults on this machine."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Literal, TypeVar

from pydantic_settings import SettingsConfigDict

from lakehouse.environment import environment, home
from lakehouse.settings.base import ROOT, Settings
from lakehouse.settings.servers import OltpSettings, WarehouseSettings
from lakehouse.variables import AbsolutePath, setting

_Database = TypeVar("_Database", OltpSettings, WarehouseSettings)


class StackSettings(Settings):
    """The stack: its directories and processes."""

    model_config = SettingsConfigDict(env_prefix="STACK_")
    engine: Literal["native", "compose"] = setting(
        "native",
        "What runs the services: processes on this machine, or Docker Compose.",
        change="When the stack runs in Docker.",
    )
    env_file: AbsolutePath = setting(
        default_factory=lambda: ROOT / ".env",
        description="File with Docker Compose's variables and passwords.",
        change="When one checkout has several stacks in Docker.",
        shown="`.env` in the checkout",
    )
    data_dir: AbsolutePath = setting(
        default_factory=lambda: default_data_dir(),
        description="Folder of databases, topics, objects, logs and passwords.",
        change="When they belong on another disk, or one checkout has several stacks.",
        shown="`var/` in the checkout; for root in a closed one, below /var/lib/shop-pipeline",
    )
    cache_dir: AbsolutePath = setting(
        default_factory=lambda: default_cache_dir(),
        description="Folder of the installed servers, shared by all checkouts; safe to delete.",
        change="When they belong on another disk.",
        shown="`~/.cache/shop-pipeline`; for root /var/cache/shop-pipeline",
    )
    secrets_file: AbsolutePath | None = setting(
        None,
        "File or folder with the passwords.",
        change="When an orchestrator mounts them.",
        shown="`secrets.json` in `STACK_DATA_DIR`; with Compose `STACK_ENV_FILE`",
    )
    service_user: str = setting(
        "nobody",
        "User that runs Postgres, Kafka and the object store when root starts them.",
        change="When files of the servers must belong to another user.",
        unit="user",
    )
    store: Literal["minio", "seaweedfs"] | None = setting(
        None,
        "Object store that is started here, as the service `minio`.",
        change="Before the first start, when a build of some minutes is too long.",
        shown="the one that has data in `STACK_DATA_DIR`, at first `minio`",
    )
    start_timeout_seconds: float = setting(
        300,
        "Longest wait for a service to be ready.",
        change="When a slow machine needs longer.",
        gt=0,
    )
    slot_wal_keep_mb: int = setting(
        4096,
        "Most WAL that the slot may hold back; beyond it the slot is lost.",
        change="When Kafka Connect may be down for longer, or the shop's disk is small.",
        ge=64,
    )

    @property
    def secrets_path(self) -> Path:
        """Return the path of the generated passwords."""
        made = self.env_file if self.engine == "compose" else self.data_dir / "secrets.json"
        return self.secrets_file or made

    def seen_by_services(self, server: _Database) -> _Database:
        """Return a database as Kafka Connect and Superset reach it.

        Compose's services have a network of their own: there a database has its service's name, and
        the port of Postgres, whatever this machine calls it.
        """
        if self.engine == "native":
            return server
        return server.model_copy(update={"host": server.service, "port": 5432})

    @property
    def connect_secrets_path(self) -> Path:
        """Return the properties file from which Kafka Connect reads `debezium.password`."""
        return self.data_dir / "run" / "connect-secrets.properties"


def is_root() -> bool:
    """Return whether servers must run as another user, because this one is root."""
    return os.geteuid() == 0


def default_uv() -> Path | None:
    """Return the launcher's uv, or else the one on PATH."""
    kept = sorted(_user_cache_dir().glob("uv-*/bin/uv"))
    found = shutil.which("uv", path=environment().get("PATH"))
    return kept[-1] if kept else Path(found) if found else None


def default_cache_dir() -> Path:
    """Return the user's cache; for root /var/cache, as others cannot enter root's home."""
    if is_root():
        return Path("/var/cache/shop-pipeline")
    return _user_cache_dir()


def default_data_dir(root: Path = ROOT) -> Path:
    """Return `var/` in the checkout, unless root's servers could not reach it there."""
    if is_root() and not open_to_all(root):
        name = hashlib.sha256(str(root).encode()).hexdigest()[:8]
        return Path("/var/lib/shop-pipeline") / name
    return root / "var"


def socket_path(data_dir: Path) -> Path:
    """Return supervisor's socket: in the data directory, or a short path if that is too long."""
    inside = data_dir / "run" / "supervisor.sock"
    longest = 100  # sun_path holds 104 bytes on macOS, 108 on Linux
    if len(str(inside).encode()) <= longest:
        return inside
    name = hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"shop-pipeline-{name}.sock"


def _user_cache_dir() -> Path:
    caches = environment().get("XDG_CACHE_HOME") or home() / ".cache"
    return Path(caches) / "shop-pipeline"


def open_to_all(path: Path) -> bool:
    """Return whether any user may traverse `path` and its parents."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
