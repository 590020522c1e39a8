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
"""The checkout."""


_FORMER = {
    "MONITORING_WATCHER_HOST": "MONITORING_EXPORTER_HOST",
    "MONITORING_WATCHER_PORT": "MONITORING_EXPORTER_PORT",
    "MONITORING_WATCH_SECONDS": "MONITORING_EXPORTER_SECONDS",
}
"""Names that variables had until version 0.1."""


class Settings(BaseSettings):
    """A group of settings, read from the environment. An empty variable counts as not set."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - of each setting's type
        """Read the environment; `values` go before it.

        Raises:
            StopPipelineError: a variable holds what it cannot: which, and what is allowed.
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
    """Reads what `environment` says, so that tests need not change the process' own."""

    @override
    def _load_env_vars(self) -> Mapping[str, str | None]:
        given = {_FORMER.get(name, name).lower(): value for name, value in _given().items()}
        return {name: value for name, value in given.items() if value}


def _given() -> Mapping[str, str]:
    """The variables that count: with Compose those of `.env`, too, as it reads them itself."""
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
    """The Postgres that holds the star schema."""

    model_config = SettingsConfigDict(env_prefix="WAREHOUSE_")
    host: Host = "127.0.0.1"
    port: int = Field(5433, gt=0, lt=65536)
    database: PostgresName = "warehouse"
    reader_statement_seconds: int = Field(
        30, gt=0, description="A question of the role reader may take so long."
    )
    reader_transaction_seconds: int = Field(
        300, gt=0, description="So may a transaction of it, in which it asks more than one."
    )


class KafkaSettings(Settings):
    """The broker."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_")
    host: Host = "127.0.0.1"
    port: int = Field(9092, gt=0, lt=65536)
    controller_port: int = Field(9093, gt=0, lt=65536)
    retention_hours: int = Field(168, gt=0, description="How long it keeps changes.")
    heap_mb: int = Field(512, ge=256, description="Memory of its Java heap.")
    java_options: str = Field("", description="Further options of its Java, between spaces.")
    metrics_port: int = Field(9404, ge=0, lt=65536, description="Prometheus, loopback; 0 is off.")

    @property
    def bootstrap_servers(self) -> str:
        """Address in the form that clients take."""
        return f"{self.host}:{self.port}"


class ConnectSettings(Settings):
    """Kafka Connect and the Debezium connector in it."""

    model_config = SettingsConfigDict(env_prefix="CONNECT_")
    host: Host = "127.0.0.1"
    port: int = Field(8083, gt=0, lt=65536)
    database_host: Host | None = Field(
        None, description="The shop's database as Connect's machine reaches it; default OLTP_HOST."
    )
    database_port: int | None = Field(None, gt=0, lt=65536, description="Likewise OLTP_PORT.")
    secrets_dir: AbsolutePath | None = Field(
        None,
        description="On Connect's machine, a folder with the file oltp_debezium. "
        "Default: the native stack's file.",
    )
    heap_mb: int = Field(768, ge=256, description="Memory of its Java heap.")
    java_options: str = Field("", description="Further options of its Java, between spaces.")
    metrics_port: int = Field(9405, ge=0, lt=65536, description="Prometheus, loopback; 0 is off.")
    connector_name: Name = "shop"
    topic_prefix: Name = "shop"
    topic_partitions: int = Field(4, gt=0, description="Partitions of each new topic.")
    max_row_mb: int = Field(
        32,
        ge=1,
        le=90,
        description="The largest change of one row: its old and its new values, as JSON.",
    )
    slot_name: PostgresName = "dbz_shop"
    publication_name: PostgresName = "dbz_shop"
    poll_interval_ms: int = Field(10, gt=0, description="How long Debezium waits for a batch.")
    heartbeat_interval_ms: int = Field(
        1000, gt=0, description="So that an idle shop holds no WAL, and is known to be there."
    )
    restart_seconds: float = Field(
        10.0, gt=0, description="From its failure to its start, doubled each time; 300 at most."
    )

    @property
    def url(self) -> str:
        """Base address of the REST interface."""
        return f"http://{self.host}:{self.port}"

    @property
    def max_row_bytes(self) -> int:
        """What a producer of changes hands on, at most, before it is compressed."""
        return self.max_row_mb * 2**20

    @property
    def topic_max_bytes(self) -> int:
        """What a topic takes, at most: compression may make a little more of it."""
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
        """Base address of the S3 interface."""
        return f"http://{self.host}:{self.port}"


class ShopSettings(Settings):
    """What the shop has decided about itself."""

    model_config = SettingsConfigDict(env_prefix="SHOP_")
    time_zone: TimeZone = Field("Europe/Paris", description="Business days begin and end in it.")
    base_currency: Currency = "EUR"


class SimulatorSettings(Settings):
    """Limits of the simulator; what it is to do comes from its command line."""

    model_config = SettingsConfigDict(env_prefix="SIMULATOR_")
    slot_budget: float = Field(
        0.5, gt=0, le=1, description="Slows down beyond this share of max_slot_wal_keep_size."
    )
    retry_seconds: float = Field(60, gt=0, description="Longest pause between reconnects.")


class LandingSettings(Settings):
    """The lander: Kafka to bronze."""

    model_config = SettingsConfigDict(env_prefix="LANDING_")
    group_id: Name = "landing"
    flush_seconds: float = Field(5.0, ge=0.25, description="Oldest a buffered record may get.")
    flush_rows: int = Field(200_000, gt=0, description="Rows of one table that start a flush.")
    flush_mb: int = Field(32, gt=0, description="Bytes of one table that start a flush.")
    memory_mb: int = Field(128, ge=32, description="Records held in memory, all tables together.")
    writers: int = Field(2, gt=0, description="Tables written at the same time.")
    session_timeout_ms: int = Field(10_000, ge=6_000, description="Silent for longer is dead.")
    topic_refresh_seconds: float = Field(2.0, gt=0, description="How soon a new topic is seen.")
    compact_commits: int = Field(200, gt=1, description="Commits of a table between compactions.")
    replay_rows: int = Field(
        200_000, gt=0, description="Records that a replay from Kafka holds in memory at a time."
    )
    retention_hours: int = Field(24, ge=1, description="How long old log entries and files stay.")
    metrics_host: Host = Field("127.0.0.1", description="Where it answers Prometheus.")
    metrics_port: int = Field(9108, ge=0, lt=65536, description="For Prometheus; 0 is off.")


class LiveSettings(Settings):
    """The live consumer: Kafka to what the warehouse shows before the next consolidation."""

    model_config = SettingsConfigDict(env_prefix="LIVE_")
    group_id: Name = "live"
    linger_ms: int = Field(20, ge=0, description="Waits so long for more of a batch.")
    patience_ms: int = Field(
        400, ge=0, description="Waits so long for more changes that are no part of a sale."
    )
    batch_rows: int = Field(5_000, gt=0, description="Changes of one batch, at most.")
    max_rows: int = Field(
        5_000_000, gt=0, description="Rows it keeps; then it waits for a consolidation."
    )
    session_timeout_ms: int = Field(10_000, ge=6_000, description="Silent for longer is dead.")
    topic_refresh_seconds: float = Field(2.0, gt=0, description="How soon a new topic is seen.")
    metrics_host: Host = Field("127.0.0.1", description="Where it answers Prometheus.")
    metrics_port: int = Field(9109, ge=0, lt=65536, description="For Prometheus; 0 is off.")


class ConsolidationSettings(Settings):
    """Bronze to silver, gold and the warehouse."""

    model_config = SettingsConfigDict(env_prefix="CONSOLIDATION_")
    chunk_rows: int = Field(500_000, gt=0, description="Changes held in memory at a time.")
    clock_skew_seconds: float = Field(
        300, ge=0, description="How far ahead a source's clock may be."
    )
    retention_hours: int = Field(
        168, ge=1, description="How long old versions and change feeds of silver and gold stay."
    )
    lock_seconds: float = Field(600, ge=0, description="Longest wait for another consolidation.")
    quarantine_max_share: float = Field(
        0.2, ge=0, le=1, description="Share in quarantine beyond which nothing is published."
    )
    quarantine_min_changes: int = Field(
        100, ge=1, description="Of fewer changes, that share only warns."
    )
    runs_days: int = Field(90, ge=1, description="How long the record of a run is kept.")


class ReconcileSettings(Settings):
    """The proof."""

    model_config = SettingsConfigDict(env_prefix="RECONCILE_")
    timeout_seconds: float = Field(120, gt=0, description="Longest wait for bronze to catch up.")
    examples: int = Field(10, gt=0, description="Keys named for each kind of fault.")


class ExtractionSettings(Settings):
    """Deletes that a full extraction finds, and writes without being asked."""

    model_config = SettingsConfigDict(env_prefix="EXTRACTION_")
    deletes_max_share: float = Field(
        0.05, ge=0, le=1, description="Stops if a larger share of a table's keys is gone, …"
    )
    deletes_min_rows: int = Field(100, ge=1, description="… and so many of them at least.")


class AirflowSettings(Settings):
    """Airflow, which runs the hourly run. Its own variables begin with AIRFLOW__."""

    model_config = SettingsConfigDict(env_prefix="AIRFLOW_")
    host: Host = "127.0.0.1"
    port: int = Field(8080, gt=0, lt=65536)
    parallelism: int = Field(3, gt=0, description="Tasks that run at the same time.")
    public_url: WebAddress | None = Field(
        None, description="Where people reach its pages, if not at AIRFLOW_HOST and _PORT."
    )

    @property
    def url(self) -> str:
        """Base address of its interface, for programs."""
        return f"http://{self.host}:{self.port}"

    @property
    def pages_url(self) -> str:
        """Base address of its pages, for people."""
        return self.public_url or self.url


class SupersetSettings(Settings):
    """Superset, which shows the charts."""

    model_config = SettingsConfigDict(env_prefix="SUPERSET_")
    host: Host = "127.0.0.1"
    port: int = Field(8088, gt=0, lt=65536)
    threads: int = Field(8, gt=0, description="Requests that it answers at the same time.")
    database_host: Host | None = Field(
        None, description="The warehouse as Superset's machine reaches it; default WAREHOUSE_HOST."
    )
    database_port: int | None = Field(None, gt=0, lt=65536, description="Likewise WAREHOUSE_PORT.")

    @property
    def url(self) -> str:
        """Address of its pages."""
        return f"http://{self.host}:{self.port}"


class AlertSettings(Settings):
    """Who is told when a run fails or is late."""

    model_config = SettingsConfigDict(env_prefix="ALERT_")
    webhook_url: WebAddress | None = Field(
        None, description="Gets a POST with a JSON document when a run of Airflow fails or is late."
    )
    late_seconds: int = Field(1800, gt=0, description="A run is late so long after its turn.")


class MonitoringSettings(Settings):
    """Prometheus, what is asked for it, and from where on it alerts. Optional."""

    model_config = SettingsConfigDict(env_prefix="MONITORING_")
    host: Host = "127.0.0.1"
    port: int = Field(9090, gt=0, lt=65536, description="Prometheus.")
    airflow_port: int = Field(9102, gt=0, lt=65536, description="What Airflow tells.")
    statsd_port: int = Field(9125, gt=0, lt=65536, description="Where Airflow tells it; UDP.")
    exporter_host: Host = Field("127.0.0.1", description="Where the exporter answers Prometheus.")
    exporter_port: int = Field(9110, gt=0, lt=65536, description="The exporter's.")
    scrape_seconds: int = Field(15, ge=1, description="How often Prometheus asks and judges.")
    exporter_seconds: float = Field(15, ge=0.5, description="How often the exporter looks.")
    lake_seconds: float = Field(60, ge=0.5, description="How often it looks at the lake's logs.")
    retention_days: int = Field(15, ge=1, description="How long Prometheus keeps metrics.")
    retention_mb: int = Field(1024, ge=64, description="How much of them it keeps, at most.")
    lag_offsets: int = Field(
        50_000, ge=0, description="Alerts when bronze lacks more offsets of a table for minutes."
    )
    live_seconds: float = Field(60, gt=0, description="Alerts when charts are further behind.")
    clock_seconds: float = Field(
        5, gt=0, description="Alerts when clocks of the servers are further apart."
    )
    slot_share: float = Field(
        0.5, gt=0, le=1, description="Alerts beyond this share of max_slot_wal_keep_size."
    )
    quarantined: int = Field(
        500, ge=0, description="Alerts when so many changes of a table come into it in an hour."
    )
    late_seconds: float = Field(
        7200, gt=0, description="Alerts when the last consolidation that succeeded is older."
    )
    disk_share: float = Field(
        0.1, ge=0, le=1, description="Alerts when less of the data's disk is free."
    )

    @property
    def url(self) -> str:
        """Base address of Prometheus."""
        return f"http://{self.host}:{self.port}"


class LogSettings(Settings):
    """Structured logs, on standard error."""

    model_config = SettingsConfigDict(env_prefix="LOG_")
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class StackSettings(Settings):
    """The stack: where it lives and how it is kept."""

    model_config = SettingsConfigDict(env_prefix="STACK_")
    engine: Literal["native", "compose"] = Field(
        "native", description="What runs the services: supervisor here, or Docker Compose."
    )
    env_file: AbsolutePath = Field(
        default_factory=lambda: ROOT / ".env",
        description="Compose's variables and passwords, made by ./pipeline env init.",
    )
    data_dir: AbsolutePath = Field(
        default_factory=lambda: default_data_dir(),
        description="Databases, topics, objects, logs, secrets.",
    )
    cache_dir: AbsolutePath = Field(
        default_factory=lambda: default_cache_dir(),
        description="Servers, shared by all checkouts; safe to delete.",
    )
    secrets_file: AbsolutePath | None = Field(
        None,
        description="File or folder. Default: secrets.json in STACK_DATA_DIR; with Compose, .env.",
    )
    uv: AbsolutePath | None = Field(
        None, description="The uv to install servers with; by default found."
    )
    service_user: str = Field("nobody", description="Runs the servers when you are root.")
    start_timeout_seconds: float = Field(300, gt=0, description="Longest wait for a service.")
    log_mb: int = Field(20, gt=0, description="Size at which a log is rotated.")
    log_backups: int = Field(3, ge=0, description="Rotated logs that are kept.")
    slot_wal_keep_mb: int = Field(4096, ge=64, description="WAL the slot may hold back.")

    @property
    def secrets_path(self) -> Path:
        """The place of the generated passwords."""
        made = self.env_file if self.engine == "compose" else self.data_dir / "secrets.json"
        return self.secrets_file or made

    @property
    def connect_secrets_path(self) -> Path:
        """Properties file from which Kafka Connect reads `debezium.password`."""
        return self.data_dir / "run" / "connect-secrets.properties"

    @property
    def log_dir(self) -> Path:
        """One log per program."""
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
    """Whether servers have to be started as another user."""
    return os.geteuid() == 0


def settings_in_environment() -> dict[str, str]:
    """The settings that the environment gives, as variables: what to hand on to a program."""
    known = {name_of(group, name) for group in ALL_SETTINGS for name in group.model_fields}
    return {name: value for name, value in _given().items() if name.upper() in known}


def default_uv() -> Path | None:
    """The launcher's uv, or else the one on the path."""
    kept = sorted(_user_cache_dir().glob("uv-*/bin/uv"))
    found = shutil.which("uv", path=environment().get("PATH"))
    return kept[-1] if kept else Path(found) if found else None


def default_cache_dir() -> Path:
    """Root's home is closed to the user that runs the servers, so root caches in /var/cache."""
    if is_root():
        return Path("/var/cache/shop-pipeline")
    return _user_cache_dir()


def default_data_dir(root: Path = ROOT) -> Path:
    """`var/` in the checkout, unless root's servers could not reach it there."""
    if is_root() and not open_to_all(root):
        name = hashlib.sha256(str(root).encode()).hexdigest()[:8]
        return Path("/var/lib/shop-pipeline") / name
    return root / "var"


def socket_path(data_dir: Path) -> Path:
    """Supervisor's socket: in the data directory, or a short path when that is too long."""
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
    """Whether any user may pass through `path` and its parents."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
