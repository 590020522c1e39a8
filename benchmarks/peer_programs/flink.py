"""Flink SQL: Kafka into Parquet files on MinIO, in one Java process with a cluster of two slots.

A checkpoint every second, as the lander; files of the sink become visible with it. The topic is
bounded by its end. After a kill the newest checkpoint is restored, as a cluster would do. The SQL
client lands all tables in turn, so the second one by a process that is warm.
"""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.peer_programs.task import Task, begin

_SUCCEEDS = "Execute statement succeeded"
_BEFORE_TABLES = 2
"""Statements that succeed before the first table is created, of which each is then filled."""
_OPENED = ("lang", "lang.reflect", "io", "net", "nio", "text", "time", "util", "util.concurrent",
           "util.concurrent.atomic", "util.concurrent.locks")  # fmt: skip
_COLUMNS = "`partition` int {virtual}, `offset` bigint {virtual}, `key` bytes, `value` bytes"
_SOURCE = """
create table source ({columns}) with (
  'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{servers}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'key.format' = 'raw', 'key.fields' = 'key',
  'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY'
);
set 'table.dml-sync' = 'true';
"""
_SINK = """
create table `{table}` ({columns}) with (
  'connector' = 'filesystem', 'path' = 's3://{path}', 'format' = 'parquet'
);
insert into `{table}` select `partition`, `offset`, `key`, `value` from source;
"""


def _settings(task: Task, state: Path) -> dict[str, object]:
    checkpoints = state / "checkpoints"
    settings: dict[str, object] = {
        "execution.target": "local",
        "execution.checkpointing.interval": "1 s",
        "execution.checkpointing.dir": f"file://{checkpoints}",
        "parallelism.default": 2,
        "taskmanager.numberOfTaskSlots": 2,
        "rest.bind-address": "127.0.0.1",
        "rest.address": "127.0.0.1",
        "io.tmp.dirs": str(state),
        "s3.endpoint": task.endpoint,
        "s3.endpoint.region": task.region,
        "s3.access-key": task.access_key,
        "s3.secret-key": task.secret_key,
        "s3.path.style.access": True,
    }
    kept = sorted(checkpoints.glob("*/chk-*/_metadata"), key=lambda file: file.stat().st_mtime)
    if kept:
        settings["execution.state-recovery.path"] = f"file://{kept[-1].parent}"
    return settings


def _script(task: Task, tables: list[str]) -> str:
    columns = _COLUMNS.format(virtual="metadata virtual")
    source = _SOURCE.format(columns=columns, topic=task.topic, servers=task.bootstrap_servers)
    columns = _COLUMNS.format(virtual="")
    sinks = (_SINK.format(table=t, columns=columns, path=task.path_of(t)) for t in tables)
    return source + "".join(sinks)


def _land(task: Task, tables: list[str]) -> int:
    state = task.state_of(tables[0])
    plugins = state / "plugins" / "s3"
    plugins.mkdir(parents=True, exist_ok=True)
    jars = []
    for jar in Path(task.jars).glob("*.jar"):
        # It brings another version of Hadoop's classes than Parquet's.
        if jar.name.startswith("flink-s3-fs-hadoop"):
            link = plugins / jar.name
            link.unlink(missing_ok=True)
            link.symlink_to(jar)
        else:
            jars.append(str(jar))
    lines = (f"{name}: {json.dumps(value)}\n" for name, value in _settings(task, state).items())
    (state / "config.yaml").write_text("".join(lines))
    (state / "job.sql").write_text(_script(task, tables))
    opened = (f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in _OPENED)
    command = [
        "env", f"FLINK_CONF_DIR={state}", f"FLINK_PLUGINS_DIR={plugins.parent}",
        "java", "-Xmx2g", f"-Duser.home={state}", *opened, "-cp", ":".join(jars),
        "org.apache.flink.table.client.SqlClient", "-f", str(state / "job.sql"),
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as client:
        statements = 0
        for line in client.stdout or ():
            sys.stdout.write(line)
            statements += _SUCCEEDS in line
            if _SUCCEEDS in line and statements > _BEFORE_TABLES:
                begin()
    return client.returncode


if __name__ == "__main__":
    sys.exit(_land(Task(**json.loads(sys.argv[1])), sys.argv[2:]))
