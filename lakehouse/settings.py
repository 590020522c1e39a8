"""Every setting, its environment variable and its default."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import ValidationError
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
    BucketPrefix,
    Currency,
    Host,
    Name,
    PostgresName,
    TimeZone,
    WebAddress,
    explain,
    name_of,
    setting,
)

ROOT = Path(__file__).resolve().parent.parent
"""The root of the checkout."""

PUBLICATION = "dbz_shop"

_FIXED = "Its value is fixed now."
_GROUP = "The group's name begins with CONNECT_TOPIC_PREFIX, unless that is the default."
_METRICS_HOST = "Set MONITORING_METRICS_HOST."
_METRICS_PORT = "Metrics have ports in a row: set MONITORING_BASE_PORT."
_RETIRED = {
    "STACK_UV": "uv is the launcher's, or else the one on the PATH.",
    "STACK_LOG_MB": "Logs are rotated at 20 MB.",
    "STACK_LOG_BACKUPS": "Three rotated logs are kept.",
    "WAREHOUSE_READER_STATEMENT_SECONDS": "Set statement_timeout in your session.",
    "WAREHOUSE_READER_TRANSACTION_SECONDS": "Set transaction_timeout in your session.",
    "KAFKA_CONTROLLER_PORT": "The controller has the port after KAFKA_PORT.",
    "CONNECT_DATABASE_HOST": "Kafka Connect reaches the shop at OLTP_HOST, in Docker at oltp.",
    "CONNECT_DATABASE_PORT": "Kafka Connect reaches the shop at OLTP_PORT, in Docker at 5432.",
    "SUPERSET_DATABASE_HOST": "Superset reaches it at WAREHOUSE_HOST, in Docker at warehouse.",
    "SUPERSET_DATABASE_PORT": "Superset reaches it at WAREHOUSE_PORT, in Docker at 5432.",
    "CONNECT_JAVA_OPTIONS": "Set KAFKA_JAVA_OPTIONS, which both have.",
    "CONNECT_HEARTBEAT_INTERVAL_MS": _FIXED,
    "CONNECT_RESTART_SECONDS": _FIXED,
    "MINIO_REGION": "The region is us-east-1.",
    "SIMULATOR_SLOT_BUDGET": _FIXED,
    "SIMULATOR_RETRY_SECONDS": _FIXED,
    "LANDING_FLUSH_ROWS": "Set LANDING_FLUSH_SECONDS or LANDING_MEMORY_MB.",
    "LANDING_FLUSH_MB": "Set LANDING_FLUSH_SECONDS or LANDING_MEMORY_MB.",
    "LANDING_WRITERS": "To land faster, start a second lander.",
    "LANDING_SESSION_TIMEOUT_MS": _FIXED,
    "LANDING_TOPIC_REFRESH_SECONDS": _FIXED,
    "LANDING_REPLAY_ROWS": "Set CONSOLIDATION_CHUNK_ROWS.",
    "LIVE_LINGER_MS": _FIXED,
    "LIVE_PATIENCE_MS": _FIXED,
    "LIVE_SESSION_TIMEOUT_MS": _FIXED,
    "LIVE_TOPIC_REFRESH_SECONDS": _FIXED,
    "LANDING_COMPACT_COMMITS": "A table is compacted after 200 commits.",
    "LIVE_BATCH_ROWS": "A batch has at most 5,000 changes.",
    "CONSOLIDATION_RUNS_DAYS": "Records of runs are kept for 90 days.",
    "CONSOLIDATION_CLOCK_SKEW_SECONDS": _FIXED,
    "CONSOLIDATION_LOCK_SECONDS": _FIXED,
    "CONSOLIDATION_QUARANTINE_MIN_CHANGES": "Set CONSOLIDATION_QUARANTINE_MAX_SHARE.",
    "RECONCILE_EXAMPLES": _FIXED,
    "EXTRACTION_DELETES_MAX_SHARE": "Use ./pipeline extract --allow-deletes.",
    "EXTRACTION_DELETES_MIN_ROWS": "Use ./pipeline extract --allow-deletes.",
    "SUPERSET_THREADS": _FIXED,
    "LANDING_GROUP_ID": _GROUP,
    "LIVE_GROUP_ID": _GROUP,
    "LANDING_METRICS_HOST": _METRICS_HOST,
    "LIVE_METRICS_HOST": _METRICS_HOST,
    "MONITORING_EXPORTER_HOST": _METRICS_HOST,
    "MONITORING_WATCHER_HOST": _METRICS_HOST,
    "KAFKA_METRICS_PORT": _METRICS_PORT,
    "CONNECT_METRICS_PORT": _METRICS_PORT,
    "LANDING_METRICS_PORT": _METRICS_PORT,
    "LIVE_METRICS_PORT": _METRICS_PORT,
    "MONITORING_AIRFLOW_PORT": _METRICS_PORT,
    "MONITORING_EXPORTER_PORT": _METRICS_PORT,
    "MONITORING_STATSD_PORT": _METRICS_PORT,
    "MONITORING_WATCHER_PORT": _METRICS_PORT,
    "MONITORING_CLOCK_SECONDS": "The alert is in monitoring/rules/pipeline.yml: from 5 seconds on.",
    "MONITORING_RETENTION_MB": "Prometheus keeps at most 1 GB of metrics.",
    "MONITORING_WATCH_SECONDS": "Set MONITORING_SCRAPE_SECONDS.",
    "MONITORING_EXPORTER_SECONDS": "Set MONITORING_SCRAPE_SECONDS.",
    "MONITORING_LAKE_SECONDS": "Set MONITORING_SCRAPE_SECONDS.",
}
"""Variables that were settings until version 0.1, and what is in their place."""
_WRITTEN = {
    "CONNECT_DATABASE_HOST": "oltp",
    "CONNECT_DATABASE_PORT": "5432",
    "SUPERSET_DATABASE_HOST": "warehouse",
    "SUPERSET_DATABASE_PORT": "5432",
}
"""What `env init` of version 0.1 wrote: it still holds, so that there is nothing to warn about."""


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
        return {name.lower(): value for name, value in _given().items() if value}


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


_ELSEWHERE = "When it runs on another machine."
_TAKEN = "When another program on this machine has the port."
_OTHER_TENANT = "When several pipelines share the server."


def _host(server: str) -> Any:  # noqa: ANN401 - pydantic makes a setting of it
    return setting("127.0.0.1", f"Address of {server}.", change=_ELSEWHERE)


def _port(default: int, of: str, *, last: int = 65535) -> Any:  # noqa: ANN401
    return setting(default, f"Port of {of}.", change=_TAKEN, gt=0, le=last)


class OltpSettings(Settings):
    """The shop's own Postgres."""

    service: ClassVar[str] = "oltp"
    model_config = SettingsConfigDict(env_prefix="OLTP_")
    host: Host = _host("the shop's Postgres")
    port: int = _port(5432, "the shop's Postgres")
    database: PostgresName = setting(
        "shop", "Database to capture.", change="When the shop's database has another name."
    )


class WarehouseSettings(Settings):
    """The Postgres that holds the warehouse."""

    service: ClassVar[str] = "warehouse"
    model_config = SettingsConfigDict(env_prefix="WAREHOUSE_")
    host: Host = _host("the warehouse's Postgres")
    port: int = _port(5433, "the warehouse's Postgres")
    database: PostgresName = setting(
        "warehouse", "Database of the warehouse.", change=_OTHER_TENANT
    )


_Database = TypeVar("_Database", OltpSettings, WarehouseSettings)


class KafkaSettings(Settings):
    """The broker."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_")
    host: Host = _host("the broker")
    port: int = _port(9092, "the broker; its controller has the next one", last=65534)
    retention_hours: int = setting(
        168,
        "How long the broker keeps changes.",
        change="When the lander may be down for longer than that, or the disk is small.",
        gt=0,
    )
    heap_mb: int = setting(
        512,
        "Java heap of the broker.",
        change="When the broker runs out of memory, or the machine is small.",
        ge=256,
    )
    java_options: str = setting(
        "",
        "More options for the Java of broker and Kafka Connect, separated by spaces.",
        change="When you tune or debug its Java.",
    )

    @property
    def controller_port(self) -> int:
        """Return the port of the broker's controller, which only the broker uses."""
        return self.port + 1

    @property
    def bootstrap_servers(self) -> str:
        """Return the address as clients expect it."""
        return f"{self.host}:{self.port}"


class ConnectSettings(Settings):
    """Kafka Connect and the Debezium connector in it."""

    model_config = SettingsConfigDict(env_prefix="CONNECT_")
    host: Host = _host("Kafka Connect's REST interface")
    port: int = _port(8083, "Kafka Connect's REST interface")
    secrets_dir: AbsolutePath | None = setting(
        None,
        "Folder on Kafka Connect's machine with the password file `oltp_debezium`.",
        change="When Kafka Connect runs elsewhere than these programs, as in Docker.",
        shown="the native stack's file",
    )
    heap_mb: int = setting(
        768,
        "Java heap of Kafka Connect.",
        change="When Kafka Connect runs out of memory, as with `CONNECT_MAX_ROW_MB` raised.",
        ge=256,
    )
    connector_name: Name = setting("shop", "Name of the connector.", change=_OTHER_TENANT)
    topic_prefix: Name = setting(
        "shop", "First part of the names of topics and consumer groups.", change=_OTHER_TENANT
    )
    topic_partitions: int = setting(
        4,
        "Partitions of each new topic.",
        change="Before the first start, when more than four landers are to share a table.",
        gt=0,
    )
    max_row_mb: int = setting(
        32,
        "Largest change of one row, old and new values together, as JSON.",
        change="When a connector fails because a change is too large.",
        ge=1,
        le=90,
    )
    slot_name: PostgresName = setting("dbz_shop", "Replication slot.", change=_OTHER_TENANT)
    poll_interval_ms: int = setting(
        10,
        "How long Debezium waits for more changes of a batch.",
        change="When cores are short and live charts may be later.",
        gt=0,
    )

    @property
    def url(self) -> str:
        """Return the base address of the REST interface."""
        return f"http://{self.host}:{self.port}"

    @property
    def publication_name(self) -> str:
        """Return the publication. It is the database's, and any number of slots read it."""
        return PUBLICATION

    def group_id(self, consumers: str) -> str:
        """Return the consumer group of "landing" or "live"."""
        # With the default prefix, groups have the names of version 0.1.
        return consumers if self.topic_prefix == "shop" else f"{self.topic_prefix}-{consumers}"

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
    host: Host = _host("the object store")
    port: int = _port(9000, "the object store's S3 interface")
    console_port: int = _port(9001, "the object store's console")
    bucket_prefix: BucketPrefix = setting(
        "", "Begins the names of the buckets bronze, silver and gold.", change=_OTHER_TENANT
    )

    @property
    def bronze_bucket(self) -> str:
        """Return the bucket of bronze."""
        return f"{self.bucket_prefix}bronze"

    @property
    def silver_bucket(self) -> str:
        """Return the bucket of silver."""
        return f"{self.bucket_prefix}silver"

    @property
    def gold_bucket(self) -> str:
        """Return the bucket of gold."""
        return f"{self.bucket_prefix}gold"

    @property
    def region(self) -> str:
        """What clients sign their requests with. One MinIO has no other places."""
        return "us-east-1"

    @property
    def url(self) -> str:
        """Return the base address of the S3 interface."""
        return f"http://{self.host}:{self.port}"


class ShopSettings(Settings):
    """Business settings of the shop."""

    model_config = SettingsConfigDict(env_prefix="SHOP_")
    time_zone: TimeZone = setting(
        "Europe/Paris",
        "Zone in which business days begin and end.",
        change="Before the first consolidation; later, rebuild all layers.",
    )
    base_currency: Currency = setting(
        "EUR",
        "Currency of all sums.",
        change="Before the first order.",
    )


class LandingSettings(Settings):
    """The lander: Kafka to bronze."""

    model_config = SettingsConfigDict(env_prefix="LANDING_")
    flush_seconds: float = setting(
        5.0,
        "Longest time that a change waits in memory before it is written to bronze.",
        change="When bronze must be fresher; lower makes more, smaller files.",
        ge=0.25,
    )
    memory_mb: int = setting(
        128,
        "Changes held in memory, of all tables together.",
        change="When a lander falls behind at the peak, or the machine is small.",
        ge=32,
    )
    retention_hours: int = setting(
        24,
        "How long bronze keeps old log entries and files that no version needs.",
        change="When readers of bronze stay on one version for longer.",
        ge=1,
    )


class LiveSettings(Settings):
    """The live consumer: Kafka to the warehouse's live schema, ahead of the next hourly run."""

    model_config = SettingsConfigDict(env_prefix="LIVE_")
    max_rows: int = setting(
        5_000_000,
        "Most rows kept beside the warehouse; at the limit it waits for a consolidation.",
        change="When consolidations are rarer than hourly, or the warehouse's disk is small.",
        gt=0,
    )


class ConsolidationSettings(Settings):
    """Bronze to silver, gold and the warehouse."""

    model_config = SettingsConfigDict(env_prefix="CONSOLIDATION_")
    chunk_rows: int = setting(
        500_000,
        "Most changes that a consolidation or a replay holds in memory at a time.",
        change="When either runs out of memory (lower), or memory is plenty (raise).",
        gt=0,
    )
    retention_hours: int = setting(
        168,
        "How long old versions and change feeds of silver and gold stay.",
        change="When you query older versions, or storage is short.",
        ge=1,
    )
    quarantine_max_share: float = setting(
        0.2,
        "Share of new changes in quarantine above which nothing is published.",
        change="When you have looked at the quarantine and accept it, for one run.",
        ge=0,
        le=1,
    )


class ReconcileSettings(Settings):
    """The reconciliation."""

    model_config = SettingsConfigDict(env_prefix="RECONCILE_")
    timeout_seconds: float = setting(
        120,
        "Longest wait for bronze to have what the shop committed.",
        change="When a reconciliation says that changes did not arrive and the machine is slow.",
        gt=0,
    )


class AirflowSettings(Settings):
    """Airflow, which starts the hourly run. Its own variables begin with AIRFLOW__."""

    model_config = SettingsConfigDict(env_prefix="AIRFLOW_")
    host: Host = _host("Airflow")
    port: int = _port(8080, "Airflow")
    parallelism: int = setting(
        3,
        "Tasks that run at the same time.",
        change="When there are cores and memory for more.",
        unit="tasks",
        gt=0,
    )
    public_url: WebAddress | None = setting(
        None,
        "Address of Airflow in links of alerts and of `./pipeline open`.",
        change="When people reach Airflow through a proxy.",
        shown="from `AIRFLOW_HOST` and `AIRFLOW_PORT`",
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
    host: Host = _host("Superset")
    port: int = _port(8088, "Superset")

    @property
    def url(self) -> str:
        """Return the address of its web UI."""
        return f"http://{self.host}:{self.port}"


class AlertSettings(Settings):
    """Notifications of runs that fail or are late."""

    model_config = SettingsConfigDict(env_prefix="ALERT_")
    webhook_url: WebAddress | None = setting(
        None,
        "Gets a POST with a JSON document when a run of Airflow fails or is late.",
        change="When somebody wants to be told.",
        shown="nobody is told",
    )
    late_seconds: int = setting(
        1800,
        "Time after its turn from which a run is late.",
        change="When hourly runs take longer.",
        gt=0,
    )


_ALERT_TOO_OFTEN = "When the alert comes too often or too late."


_METRICS_PORTS = {
    "statsd-exporter": 2,
    "kafka": 4,
    "connect": 5,
    "lander": 8,
    "live": 9,
    "exporter": 10,
}
"""Services that serve metrics, each at so many ports above MONITORING_BASE_PORT."""


class MonitoringSettings(Settings):
    """Prometheus, what feeds it, and the limits of its alerts. Optional."""

    model_config = SettingsConfigDict(env_prefix="MONITORING_")
    host: Host = _host("Prometheus and of the StatsD exporter")
    port: int = _port(9090, "Prometheus")
    metrics_host: Host = setting(
        "127.0.0.1",
        "Address at which lander, live consumer and exporter serve metrics.",
        change="When Prometheus runs on another machine.",
    )
    base_port: int = setting(
        9100,
        "First of 26 ports for metrics. Above it: StatsD exporter 2, broker 4, Kafka Connect 5, "
        "lander 8, live consumer 9, exporter 10; Airflow sends to 25, by UDP.",
        change="When another program on this machine has one of the ports.",
        gt=0,
        le=65510,
    )
    scrape_seconds: int = setting(
        15,
        "Time between two scrapes, between two evaluations of alerts, and between two "
        "measurements of the exporter; it reads the lake every fourth time.",
        change="When alerts must come sooner, or metrics cost too much. In Docker it is fixed.",
        ge=1,
    )
    retention_days: int = setting(
        15,
        "How long Prometheus keeps metrics, of at most 1 GB.",
        change="When you compare longer periods.",
        ge=1,
    )
    lag_offsets: int = setting(
        50_000,
        "Alerts when bronze lacks more offsets of a table for minutes.",
        change=_ALERT_TOO_OFTEN,
        ge=0,
    )
    live_seconds: float = setting(
        60, "Alerts when live charts are further behind.", change=_ALERT_TOO_OFTEN, gt=0
    )
    slot_share: float = setting(
        0.5,
        "Alerts when the slot holds back more than this share of max_slot_wal_keep_size.",
        change=_ALERT_TOO_OFTEN,
        gt=0,
        le=1,
    )
    quarantined: int = setting(
        500,
        "Alerts when more changes of a table are quarantined.",
        change=_ALERT_TOO_OFTEN,
        unit="changes per hour",
        ge=0,
    )
    late_seconds: float = setting(
        7200,
        "Alerts when the last consolidation that succeeded is older.",
        change=_ALERT_TOO_OFTEN,
        gt=0,
    )
    disk_share: float = setting(
        0.1,
        "Alerts when less of the data's disk is free.",
        change=_ALERT_TOO_OFTEN,
        ge=0,
        le=1,
    )

    @property
    def url(self) -> str:
        """Return the base address of Prometheus."""
        return f"http://{self.host}:{self.port}"

    def metrics_port(self, service: str) -> int:
        """Return the port at which a service serves metrics."""
        return self.base_port + _METRICS_PORTS[service]

    def metrics_address(self, service: str, port: int | None = None) -> tuple[str, int]:
        """Return host and port of the metrics of one of our programs; `port` takes precedence."""
        return self.metrics_host, self.metrics_port(service) if port is None else port

    @property
    def statsd_port(self) -> int:
        """Return the UDP port of the StatsD exporter, to which Airflow sends."""
        return self.base_port + 25


class LogSettings(Settings):
    """Structured logs, on standard error."""

    model_config = SettingsConfigDict(env_prefix="LOG_")
    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Least severe event that is logged.", change="When you look for a cause."
    )
    format: Literal["auto", "console", "json"] = setting(
        "auto",
        "Form of the logs; auto is text in a terminal and JSON elsewhere.",
        change="When something else reads them.",
    )


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
        "User that runs Postgres, Kafka and MinIO when root starts them.",
        change="When files of the servers must belong to somebody else.",
        unit="user",
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
    LandingSettings,
    LiveSettings,
    ConsolidationSettings,
    ReconcileSettings,
    AirflowSettings,
    AlertSettings,
    SupersetSettings,
    MonitoringSettings,
    LogSettings,
)


def is_root() -> bool:
    """Return whether servers must run as another user, because this one is root."""
    return os.geteuid() == 0


def retired_warnings(variables: Mapping[str, str] | None = None) -> list[str]:
    """Return a warning for each of these variables that was a setting once.

    By default of those from which settings are read.
    """
    given = _given() if variables is None else variables
    return [
        f"{name} is not a setting any more: it changes nothing. {_RETIRED[name.upper()]}"
        for name, value in sorted(given.items())
        if name.upper() in _RETIRED and value not in ("", _WRITTEN.get(name.upper()))
    ]


def require_names_of_data() -> None:
    """Require that data has the names that variables of version 0.1 gave it.

    Raises:
        StopPipelineError: such a name is another now.
    """
    given = {name.upper(): value for name, value in _given().items() if value}
    prefix = given.get("MINIO_BUCKET_PREFIX", "")
    layers = ("bronze", "silver", "gold")
    buckets = {f"MINIO_{layer.upper()}_BUCKET": f"{prefix}{layer}" for layer in layers}
    for variable, name in {"CONNECT_PUBLICATION_NAME": PUBLICATION, **buckets}.items():
        if given.get(variable, name) != name:
            message = (
                f"{variable} is {given[variable]!r}, but that name is {name!r} in this version, "
                "and what is under the other would be left behind. If it is a bucket, set "
                f"MINIO_BUCKET_PREFIX, or copy it to that name. Then unset {variable}."
            )
            raise StopPipelineError(message)


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
