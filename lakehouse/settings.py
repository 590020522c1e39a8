"""Every setting, its environment variable and its default."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from lakehouse.environment import environment, home
from lakehouse.errors import StopPipelineError
from lakehouse.secrets import read_variables
from lakehouse.variables import (
    AbsolutePath,
    Bucket,
    Currency,
    Host,
    Name,
    PostgresName,
    TimeZone,
    WebAddress,
    explain,
    name_of,
)

ROOT = Path(__file__).resolve().parent.parent
"""The root of the checkout."""


_FORMER = {
    "MONITORING_WATCHER_HOST": "MONITORING_EXPORTER_HOST",
    "MONITORING_WATCHER_PORT": "MONITORING_EXPORTER_PORT",
    "MONITORING_WATCH_SECONDS": "MONITORING_EXPORTER_SECONDS",
}
"""Names of variables before version 0.1."""


class Settings(BaseSettings):
    """A group of settings, read from the environment. An empty variable counts as not set."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - of each setting's type
        """Read the environment; `values` take precedence.

        Raises:
            StopPipelineError: a variable has an invalid value; lists what is allowed.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise StopPipelineError(explain(type(self), error)) from None

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _EnvironmentSource(settings_cls)


class _EnvironmentSource(EnvSettingsSource):
    """Reads `environment()`, so that tests need not change the process' own."""

    @override
    def _load_env_vars(self) -> Mapping[str, str | None]:
        given = {_FORMER.get(name, name).lower(): value for name, value in _given().items()}
        return {name: value for name, value in given.items() if value}


def _given() -> Mapping[str, str]:
    """Return the variables in effect; with Compose also those of `.env`, which it reads itself."""
    given = environment()
    if given.get("STACK_ENGINE") != "compose":
        return given
    file = Path(given.get("STACK_ENV_FILE") or ROOT / ".env")
    try:
        return {**read_variables(file.read_text()), **given}
    except FileNotFoundError:
        return given


class OltpSettings(Settings):
    """The shop's own Postgres."""

    model_config = SettingsConfigDict(env_prefix="OLTP_")
    host: Host = "127.0.0.1"
    port: int = Field(5432, gt=0, lt=65536)
    database: PostgresName = "shop"


class WarehouseSettings(Settings):
    """The Postgres database of the analysts, with the star schema."""

    model_config = SettingsConfigDict(env_prefix="WAREHOUSE_")
    host: Host = "127.0.0.1"
    port: int = Field(5433, gt=0, lt=65536)
    database: PostgresName = "warehouse"
    reader_statement_seconds: int = Field(
        30, gt=0, description="statement_timeout of the role reader."
    )
    reader_transaction_seconds: int = Field(
        300, gt=0, description="transaction_timeout of the role reader."
    )


class KafkaSettings(Settings):
    """The broker."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_")
    host: Host = "127.0.0.1"
    port: int = Field(9092, gt=0, lt=65536)
    controller_port: int = Field(9093, gt=0, lt=65536)
    retention_hours: int = Field(168, gt=0, description="Retention of changes.")
    heap_mb: int = Field(512, ge=256, description="Java heap size.")
    java_options: str = Field("", description="More Java options, separated by spaces.")
    metrics_port: int = Field(
        9404, ge=0, lt=65536, description="Prometheus, on loopback; 0 is off."
    )

    @property
    def bootstrap_servers(self) -> str:
        """Return the address as clients expect it."""
        return f"{self.host}:{self.port}"


class ConnectSettings(Settings):
    """Kafka Connect and the Debezium connector in it."""

    model_config = SettingsConfigDict(env_prefix="CONNECT_")
    host: Host = "127.0.0.1"
    port: int = Field(8083, gt=0, lt=65536)
    database_host: Host | None = Field(
        None, description="Shop database as seen from Connect's machine; default OLTP_HOST."
    )
    database_port: int | None = Field(None, gt=0, lt=65536, description="Likewise OLTP_PORT.")
    secrets_dir: AbsolutePath | None = Field(
        None,
        description="On Connect's machine, a folder with the file oltp_debezium. "
        "Default: the native stack's file.",
    )
    heap_mb: int = Field(768, ge=256, description="Java heap size.")
    java_options: str = Field("", description="More Java options, separated by spaces.")
    metrics_port: int = Field(
        9405, ge=0, lt=65536, description="Prometheus, on loopback; 0 is off."
    )
    connector_name: Name = "shop"
    topic_prefix: Name = "shop"
    topic_partitions: int = Field(4, gt=0, description="Partitions of each new topic.")
    max_row_mb: int = Field(
        32,
        ge=1,
        le=90,
        description="Largest change of one row: old and new values, as JSON.",
    )
    slot_name: PostgresName = "dbz_shop"
    publication_name: PostgresName = "dbz_shop"
    poll_interval_ms: int = Field(10, gt=0, description="Debezium's poll interval.")
    heartbeat_interval_ms: int = Field(
        1000, gt=0, description="Heartbeats let an idle shop release WAL, and show that it is up."
    )
    restart_seconds: float = Field(
        10.0,
        gt=0,
        description="Delay before a failed connector restarts; doubles each time, up to 300.",
    )

    @property
    def url(self) -> str:
        """Return the base address of the REST interface."""
        return f"http://{self.host}:{self.port}"

    @property
    def max_row_bytes(self) -> int:
        """Return the largest change that Connect produces, before compression."""
        return self.max_row_mb * 2**20

    @property
    def topic_max_bytes(self) -> int:
        """Return the largest record that a topic accepts; compression may enlarge changes."""
        return self.max_row_bytes + 2**20


class MinioSettings(Settings):
    """The object store of the lake."""

    model_config = SettingsConfigDict(env_prefix="MINIO_")
    host: Host = "127.0.0.1"
    port: int = Field(9000, gt=0, lt=65536)
    console_port: int = Field(9001, gt=0, lt=65536)
    region: Name = "us-east-1"
    bronze_bucket: Bucket = "bronze"
    silver_bucket: Bucket = "silver"
    gold_bucket: Bucket = "gold"

    @property
    def url(self) -> str:
        """Return the base address of the S3 interface."""
        return f"http://{self.host}:{self.port}"


class ShopSettings(Settings):
    """Business settings of the shop."""

    model_config = SettingsConfigDict(env_prefix="SHOP_")
    time_zone: TimeZone = Field("Europe/Paris", description="Time zone of business days.")
    base_currency: Currency = "EUR"


class SimulatorSettings(Settings):
    """Limits of the simulator; its workload is set on its command line."""

    model_config = SettingsConfigDict(env_prefix="SIMULATOR_")
    slot_budget: float = Field(
        0.5, gt=0, le=1, description="Throttles beyond this share of max_slot_wal_keep_size."
    )
    retry_seconds: float = Field(60, gt=0, description="Longest delay between reconnects.")


class LandingSettings(Settings):
    """The lander: Kafka to bronze."""

    model_config = SettingsConfigDict(env_prefix="LANDING_")
    group_id: Name = "landing"
    flush_seconds: float = Field(5.0, ge=0.25, description="Longest time a record is buffered.")
    flush_rows: int = Field(200_000, gt=0, description="Rows of one table that trigger a flush.")
    flush_mb: int = Field(32, gt=0, description="Size of one table that triggers a flush.")
    memory_mb: int = Field(128, ge=32, description="Buffer of all tables together.")
    writers: int = Field(2, gt=0, description="Tables written in parallel.")
    session_timeout_ms: int = Field(10_000, ge=6_000, description="Kafka's session timeout.")
    topic_refresh_seconds: float = Field(
        2.0, gt=0, description="How often new topics are discovered."
    )
    compact_commits: int = Field(200, gt=1, description="Commits of a table between compactions.")
    replay_rows: int = Field(
        200_000, gt=0, description="Records that a replay from Kafka holds in memory."
    )
    retention_hours: int = Field(
        24, ge=1, description="How long old log entries and files are kept."
    )
    metrics_host: Host = Field("127.0.0.1", description="Address of its metrics.")
    metrics_port: int = Field(9108, ge=0, lt=65536, description="Port of its metrics; 0 is off.")


class LiveSettings(Settings):
    """The live consumer: Kafka to the warehouse's live schema, ahead of the next hourly run."""

    model_config = SettingsConfigDict(env_prefix="LIVE_")
    group_id: Name = "live"
    linger_ms: int = Field(20, ge=0, description="How long it waits to fill a batch.")
    patience_ms: int = Field(
        400, ge=0, description="How long it waits to fill a batch without sales."
    )
    batch_rows: int = Field(5_000, gt=0, description="Changes in one batch, at most.")
    max_rows: int = Field(
        5_000_000, gt=0, description="Rows it keeps, at most; then it waits for a consolidation."
    )
    session_timeout_ms: int = Field(10_000, ge=6_000, description="Kafka's session timeout.")
    topic_refresh_seconds: float = Field(
        2.0, gt=0, description="How often new topics are discovered."
    )
    metrics_host: Host = Field("127.0.0.1", description="Address of its metrics.")
    metrics_port: int = Field(9109, ge=0, lt=65536, description="Port of its metrics; 0 is off.")


class ConsolidationSettings(Settings):
    """Bronze to silver, gold and the warehouse."""

    model_config = SettingsConfigDict(env_prefix="CONSOLIDATION_")
    chunk_rows: int = Field(500_000, gt=0, description="Changes held in memory.")
    clock_skew_seconds: float = Field(
        300, ge=0, description="How far ahead a source's clock may be."
    )
    retention_hours: int = Field(
        168, ge=1, description="How long silver and gold keep old versions and change feeds."
    )
    lock_seconds: float = Field(600, ge=0, description="Longest wait for another consolidation.")
    quarantine_max_share: float = Field(
        0.2, ge=0, le=1, description="Quarantined share beyond which nothing is published."
    )
    quarantine_min_changes: int = Field(
        100, ge=1, description="With fewer changes, that share only causes a warning."
    )
    runs_days: int = Field(90, ge=1, description="How long run records are kept.")


class ReconcileSettings(Settings):
    """Reconciliation: checks that the layers agree."""

    model_config = SettingsConfigDict(env_prefix="RECONCILE_")
    timeout_seconds: float = Field(120, gt=0, description="Longest wait for bronze to catch up.")
    examples: int = Field(
        10, gt=0, description="Example keys reported for each kind of difference."
    )


class ExtractionSettings(Settings):
    """Limits for deletes that a full extraction finds and writes by itself."""

    model_config = SettingsConfigDict(env_prefix="EXTRACTION_")
    deletes_max_share: float = Field(
        0.05, ge=0, le=1, description="Stops if a larger share of a table's keys is missing, …"
    )
    deletes_min_rows: int = Field(100, ge=1, description="… and at least this many.")


class AirflowSettings(Settings):
    """Airflow, which schedules the hourly run. Its own variables begin with AIRFLOW__."""

    model_config = SettingsConfigDict(env_prefix="AIRFLOW_")
    host: Host = "127.0.0.1"
    port: int = Field(8080, gt=0, lt=65536)
    parallelism: int = Field(3, gt=0, description="Tasks that run in parallel.")
    public_url: WebAddress | None = Field(
        None, description="Public address of its web UI, if not AIRFLOW_HOST and _PORT."
    )

    @property
    def url(self) -> str:
        """Return the base address of its API, for programs."""
        return f"http://{self.host}:{self.port}"

    @property
    def pages_url(self) -> str:
        """Return the base address of its web UI, for people."""
        return self.public_url or self.url


class SupersetSettings(Settings):
    """Superset, which shows the dashboards."""

    model_config = SettingsConfigDict(env_prefix="SUPERSET_")
    host: Host = "127.0.0.1"
    port: int = Field(8088, gt=0, lt=65536)
    threads: int = Field(8, gt=0, description="Requests that it serves in parallel.")
    database_host: Host | None = Field(
        None, description="Warehouse as seen from Superset's machine; default WAREHOUSE_HOST."
    )
    database_port: int | None = Field(None, gt=0, lt=65536, description="Likewise WAREHOUSE_PORT.")

    @property
    def url(self) -> str:
        """Return the address of its web UI."""
        return f"http://{self.host}:{self.port}"


class AlertSettings(Settings):
    """Notifications of runs that fail or are late."""

    model_config = SettingsConfigDict(env_prefix="ALERT_")
    webhook_url: WebAddress | None = Field(
        None, description="Receives a JSON document by POST when an Airflow run fails or is late."
    )
    late_seconds: int = Field(
        1800, gt=0, description="How long after its scheduled time a run is late."
    )


class MonitoringSettings(Settings):
    """Prometheus, what it scrapes, and alert thresholds. Optional."""

    model_config = SettingsConfigDict(env_prefix="MONITORING_")
    host: Host = "127.0.0.1"
    port: int = Field(9090, gt=0, lt=65536, description="Prometheus.")
    airflow_port: int = Field(9102, gt=0, lt=65536, description="Port of Airflow's metrics.")
    statsd_port: int = Field(
        9125, gt=0, lt=65536, description="Port to which Airflow sends them; UDP."
    )
    exporter_host: Host = Field("127.0.0.1", description="Address of the exporter.")
    exporter_port: int = Field(9110, gt=0, lt=65536, description="Port of the exporter.")
    scrape_seconds: int = Field(15, ge=1, description="Interval of scrapes and alert rules.")
    exporter_seconds: float = Field(
        15, ge=0.5, description="Interval of the exporter's measurements."
    )
    lake_seconds: float = Field(
        60, ge=0.5, description="Interval at which it reads the lake's logs."
    )
    retention_days: int = Field(15, ge=1, description="Retention of metrics.")
    retention_mb: int = Field(1024, ge=64, description="Maximum size of stored metrics.")
    lag_offsets: int = Field(
        50_000,
        ge=0,
        description="Alerts if bronze is further behind for minutes; offsets per table.",
    )
    live_seconds: float = Field(
        60, gt=0, description="Alerts if the live dashboard is further behind."
    )
    clock_seconds: float = Field(
        5, gt=0, description="Alerts if the servers' clocks differ by more."
    )
    slot_share: float = Field(
        0.5, gt=0, le=1, description="Alerts if the slot retains more of max_slot_wal_keep_size."
    )
    quarantined: int = Field(
        500, ge=0, description="Alerts if more changes of a table are quarantined in an hour."
    )
    late_seconds: float = Field(
        7200, gt=0, description="Alerts if the last successful consolidation is older."
    )
    disk_share: float = Field(
        0.1, ge=0, le=1, description="Alerts if a smaller share of the data disk is free."
    )

    @property
    def url(self) -> str:
        """Return the base address of Prometheus."""
        return f"http://{self.host}:{self.port}"


class LogSettings(Settings):
    """Structured logs, on standard error."""

    model_config = SettingsConfigDict(env_prefix="LOG_")
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class StackSettings(Settings):
    """The stack: its directories and processes."""

    model_config = SettingsConfigDict(env_prefix="STACK_")
    engine: Literal["native", "compose"] = Field(
        "native", description="What runs the services: local supervisor, or Docker Compose."
    )
    env_file: AbsolutePath = Field(
        default_factory=lambda: ROOT / ".env",
        description="Compose's variables and passwords, written by ./pipeline env init.",
    )
    data_dir: AbsolutePath = Field(
        default_factory=lambda: default_data_dir(),
        description="Databases, topics, objects, logs, secrets.",
    )
    cache_dir: AbsolutePath = Field(
        default_factory=lambda: default_cache_dir(),
        description="Installed servers, shared by all checkouts; safe to delete.",
    )
    secrets_file: AbsolutePath | None = Field(
        None,
        description="File or folder. Default: secrets.json in STACK_DATA_DIR; with Compose, .env.",
    )
    uv: AbsolutePath | None = Field(
        None, description="The uv that installs servers; found by default."
    )
    service_user: str = Field("nobody", description="Runs the servers when you are root.")
    start_timeout_seconds: float = Field(300, gt=0, description="Longest wait for a service.")
    log_mb: int = Field(20, gt=0, description="Size at which a log is rotated.")
    log_backups: int = Field(3, ge=0, description="Number of rotated logs to keep.")
    slot_wal_keep_mb: int = Field(
        4096, ge=64, description="WAL that the replication slot may retain."
    )

    @property
    def secrets_path(self) -> Path:
        """Return the path of the generated passwords."""
        made = self.env_file if self.engine == "compose" else self.data_dir / "secrets.json"
        return self.secrets_file or made

    @property
    def connect_secrets_path(self) -> Path:
        """Return the properties file from which Kafka Connect reads `debezium.password`."""
        return self.data_dir / "run" / "connect-secrets.properties"

    @property
    def log_dir(self) -> Path:
        """Return the directory with one log per program."""
        return self.data_dir / "log"


ALL_SETTINGS: tuple[type[Settings], ...] = (
    StackSettings,
    OltpSettings,
    WarehouseSettings,
    KafkaSettings,
    ConnectSettings,
    MinioSettings,
    ShopSettings,
    SimulatorSettings,
    LandingSettings,
    LiveSettings,
    ConsolidationSettings,
    ReconcileSettings,
    ExtractionSettings,
    AirflowSettings,
    AlertSettings,
    SupersetSettings,
    MonitoringSettings,
    LogSettings,
)


def is_root() -> bool:
    """Return whether servers must run as another user, because this one is root."""
    return os.geteuid() == 0


def settings_in_environment() -> dict[str, str]:
    """Return the settings given by the environment, as variables for a child process."""
    known = {name_of(group, name) for group in ALL_SETTINGS for name in group.model_fields}
    return {name: value for name, value in _given().items() if name.upper() in known}


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
