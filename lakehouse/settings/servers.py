"""Settings of the servers: where they are, and how large."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic_settings import SettingsConfigDict

from lakehouse.errors import StopPipelineError
from lakehouse.settings.base import (
    OTHER_TENANT,
    Settings,
    host_setting,
    port_setting,
    ssl_setting,
)
from lakehouse.variables import (
    AbsolutePath,
    BucketPrefix,
    Host,
    KafkaSecurity,
    Name,
    PostgresName,
    SslParameters,
    WebAddress,
    address,
    parse_security,
    parse_ssl,
    setting,
)

PUBLICATION = "dbz_shop"


class PostgresSettings(Settings):
    """Settings of any Postgres."""

    service: ClassVar[str]
    host: Host
    port: int
    database: PostgresName
    ssl: SslParameters

    @property
    def ssl_parameters(self) -> dict[str, str]:
        """Return libpq's parameters of TLS, by name; none where nothing is set."""
        return parse_ssl(self.ssl)


def text_of(file: str | Path, variable: str) -> str:
    """Return what is in a file that a setting names.

    Raises:
        StopPipelineError: it cannot be read.
    """
    try:
        return Path(file).read_text()
    except (OSError, ValueError) as error:
        problem = f"{variable}: a file that it names cannot be read: {error}"
        raise StopPipelineError(problem, "Correct its path, or its mode.") from error


class OltpSettings(PostgresSettings):
    """The shop's own Postgres."""

    service: ClassVar[str] = "oltp"
    model_config = SettingsConfigDict(env_prefix="OLTP_")
    host: Host = host_setting("the shop's Postgres", may_be_yours=True)
    port: int = port_setting(5432, "the shop's Postgres")
    database: PostgresName = setting(
        "shop", "Database to capture.", change="When the shop's database has another name."
    )
    ssl: SslParameters = ssl_setting("the shop's Postgres")


class WarehouseSettings(PostgresSettings):
    """The Postgres that holds the warehouse."""

    service: ClassVar[str] = "warehouse"
    model_config = SettingsConfigDict(env_prefix="WAREHOUSE_")
    host: Host = host_setting("the warehouse's Postgres", may_be_yours=True)
    port: int = port_setting(5433, "the warehouse's Postgres")
    database: PostgresName = setting("warehouse", "Database of the warehouse.", change=OTHER_TENANT)
    ssl: SslParameters = ssl_setting("the warehouse's Postgres")


class KafkaSettings(Settings):
    """The broker."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_")
    host: Host = host_setting("the broker", may_be_yours=True)
    port: int = port_setting(9092, "the broker; its controller has the next one", last=65534)
    security: KafkaSecurity = setting(
        "",
        "TLS and login of clients: librdkafka's `security.protocol`, `sasl.mechanism`, "
        "`ssl.ca.location`, …, and `sasl.password.file` or `sasl.oauthbearer.client.secret.file`.",
        change="When the broker asks for TLS or a login.",
        shown="neither",
    )
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
        return address(self.host, self.port)

    @property
    def client(self) -> dict[str, str]:
        """Return the configuration of any client of librdkafka's, with the password.

        Raises:
            StopPipelineError: the file with the password or the secret cannot be read.
        """
        found = {"bootstrap.servers": self.bootstrap_servers}
        for name, value in parse_security(self.security).items():
            is_file = name.endswith(".file")
            own = text_of(value, "KAFKA_SECURITY").strip() if is_file else value
            found[name.removesuffix(".file")] = own
        if found.get("sasl.mechanism") == "OAUTHBEARER":
            found["sasl.oauthbearer.method"] = "oidc"
        return found


class ConnectSettings(Settings):
    """Kafka Connect and the Debezium connector in it."""

    model_config = SettingsConfigDict(env_prefix="CONNECT_")
    host: Host = host_setting("Kafka Connect's REST interface", may_be_yours=True)
    port: int = port_setting(8083, "Kafka Connect's REST interface")
    scheme: Literal["http", "https"] = setting(
        "http",
        "Protocol of Kafka Connect's REST interface.",
        change="When it uses TLS; `SSL_CERT_FILE` names the authorities that are trusted.",
    )
    auth_file: AbsolutePath | None = setting(
        None,
        "File with `user:password`, for HTTP's basic authentication.",
        change="When Kafka Connect's REST interface asks for a login.",
        shown="no login",
    )
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
    connector_name: Name = setting("shop", "Name of the connector.", change=OTHER_TENANT)
    topic_prefix: Name = setting(
        "shop", "First part of the names of topics and consumer groups.", change=OTHER_TENANT
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
    partitions: Literal["each", "root"] = setting(
        "each",
        "Tables of a partitioned table: `each` partition, or one by the name of the `root`.",
        change="Before the first start, when partitions are to be one table in bronze and silver.",
    )
    slot_name: PostgresName = setting("dbz_shop", "Replication slot.", change=OTHER_TENANT)
    poll_interval_ms: int = setting(
        10,
        "How long Debezium waits for more changes of a batch.",
        change="When cores are short and live charts may be later.",
        gt=0,
    )

    @property
    def url(self) -> str:
        """Return the base address of the REST interface."""
        return f"{self.scheme}://{address(self.host, self.port)}"

    @property
    def auth(self) -> tuple[str, str] | None:
        """Return user and password of the REST interface.

        Raises:
            StopPipelineError: their file cannot be read.
        """
        if self.auth_file is None:
            return None
        user, _, password = text_of(self.auth_file, "CONNECT_AUTH_FILE").strip().partition(":")
        return user, password

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
    host: Host = host_setting("the object store", may_be_yours=True)
    port: int = port_setting(9000, "the object store's S3 interface")
    scheme: Literal["http", "https"] = setting(
        "http",
        "Protocol of the object store's S3 interface.",
        change="When it uses TLS; `SSL_CERT_FILE` names the authorities that are trusted.",
    )
    console_port: int = port_setting(
        9001, "the object store's console; SeaweedFS has the next six, too", last=65529
    )
    region: Name = setting(
        "us-east-1",
        "Region of the buckets, with which requests are signed.",
        change="When the object store is in another one, as the buckets of a cloud are.",
    )
    addressing_style: Literal["path", "virtual"] = setting(
        "path",
        "Where requests name the bucket: in their path, or in front of the host.",
        change="When the object store refuses paths, as some clouds' do.",
    )
    bucket_prefix: BucketPrefix = setting(
        "", "Begins the names of the buckets bronze, silver and gold.", change=OTHER_TENANT
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
    def url(self) -> str:
        """Return the base address of the S3 interface."""
        return f"{self.scheme}://{address(self.host, self.port)}"


class SslSettings(Settings):
    """Authorities that clients of object store and Kafka Connect trust, by OpenSSL's variable."""

    model_config = SettingsConfigDict(env_prefix="SSL_")
    cert_file: AbsolutePath | None = setting(
        None,
        "Absolute path of a file with the certificates of all authorities that are trusted.",
        change="When a scheme is https and that server's authority is not a public one.",
        shown="the system's",
    )


class AirflowSettings(Settings):
    """Airflow, which starts the hourly run. Its own variables begin with AIRFLOW__."""

    model_config = SettingsConfigDict(env_prefix="AIRFLOW_")
    host: Host = host_setting("Airflow")
    port: int = port_setting(8080, "Airflow")
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
        return f"http://{address(self.host, self.port)}"

    @property
    def pages_url(self) -> str:
        """Return the base address of its web UI, for people."""
        return self.public_url or self.url


class SupersetSettings(Settings):
    """Superset, which shows the dashboards."""

    model_config = SettingsConfigDict(env_prefix="SUPERSET_")
    host: Host = host_setting("Superset")
    port: int = port_setting(8088, "Superset")

    @property
    def url(self) -> str:
        """Return the address of its web UI."""
        return f"http://{address(self.host, self.port)}"
