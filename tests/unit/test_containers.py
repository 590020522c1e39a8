"""What our containers start with: rendered from settings and secrets, as natively."""

import importlib.util
import json
import os
import signal
import stat
import subprocess
import sys
from configparser import ConfigParser
from contextlib import suppress
from hashlib import sha256
from types import SimpleNamespace

import pytest

import stack.airflow.container
from connectors.definition import render
from lakehouse.environment import environment_of
from lakehouse.errors import StopPipelineError
from lakehouse.secrets import ROLES, Secrets
from lakehouse.settings import ROOT, ConnectSettings, OltpSettings, StackSettings
from stack.airflow.container import become
from stack.paths import StackConfig
from stack.superset.dashboards import Dashboards


@pytest.fixture
def given_secrets(tmp_path):
    folder = tmp_path / "secrets"
    folder.mkdir()
    for role in ROLES:
        (folder / role).write_text(f"secret-of-{role}\n")
    return folder


def loaded(path):
    """A file that is in no package: Superset's Python runs it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def superset_start():
    return loaded(ROOT / "docker" / "superset" / "start.py")


class Database:
    """What psycopg2 is to the filling: a connection to a database with a note."""

    def __init__(self, note):
        self.note = note
        self.info = SimpleNamespace(dbname="superset")
        self.dsn = None

    def connect(self, dsn):
        self.dsn = dsn
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Nothing to close."""

    def cursor(self):
        return self

    def execute(self, statement, _values=()):
        if not isinstance(statement, str):
            self.note = statement[1]

    def fetchone(self):
        return (self.note,)


@pytest.fixture
def fill_database(monkeypatch):
    """The module with a database that has a note; its own filling is only counted."""

    def make(note):
        database = Database(note)
        sql = SimpleNamespace(
            Literal=str,
            Identifier=str,
            SQL=lambda _: SimpleNamespace(format=lambda name, text: (name, text)),
        )
        fake = SimpleNamespace(connect=database.connect, sql=sql)
        monkeypatch.setitem(sys.modules, "psycopg2", fake)
        module = loaded(ROOT / "stack" / "superset" / "fill_database.py")
        filled = []
        monkeypatch.setattr(module, "fill", filled.append)
        return module, database, filled

    return make


def private(path):
    return stat.S_IMODE(path.stat().st_mode) == 0o600


def test_airflow_s_program_takes_over_with_the_configuration_of_the_settings(
    given_secrets, tmp_path, monkeypatch
):
    found = []
    (given_secrets / "warehouse_airflow").write_text("secret-of-@:/%\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stack.airflow.container, "version", lambda _: "3.3.2")
    monkeypatch.setattr(os, "execve", lambda *taken: found.append(taken))
    variables = {
        "STACK_DATA_DIR": str(tmp_path / "var"),
        "STACK_SECRETS_FILE": str(given_secrets),
        "AIRFLOW_HOST": "airflow",
        "AIRFLOW_PUBLIC_URL": "http://shop.example.org:8080",
        "AIRFLOW__API__HOST": "0.0.0.0",  # noqa: S104
        "WAREHOUSE_HOST": "warehouse",
    }
    with environment_of(variables):
        become(["scheduler", "--skip-serve-logs"])
    ((program, command, environment),) = found
    assert program == sys.executable
    started = (program, "-P", "-m", "orchestration.preloaded")
    assert command == (*started, "scheduler", "--skip-serve-logs")
    assert environment["AIRFLOW__API__HOST"] == variables["AIRFLOW__API__HOST"]
    assert not [value for value in environment.values() if "secret-of-" in value]
    file = tmp_path / "var" / "airflow" / "airflow.cfg"
    assert environment["AIRFLOW_CONFIG"] == str(file)
    assert private(file)
    config = ConfigParser()
    config.read(file)
    assert config["core"]["execution_api_server_url"] == "http://airflow:8080/execution/"
    assert config["api"]["base_url"] == "http://shop.example.org:8080"
    database = "postgresql+psycopg://airflow:secret-of-%40%3A%2F%25@warehouse:5433/airflow"
    assert config["database"]["sql_alchemy_conn"] == database


def test_superset_s_program_takes_over_with_the_secrets_beside_its_configuration(
    superset_start, given_secrets, tmp_path, monkeypatch
):
    found = []
    (given_secrets / "warehouse_superset").write_text("secret-of-@:/%\n")
    monkeypatch.setattr(superset_start, "_SECRETS", given_secrets)
    monkeypatch.setattr(superset_start, "version", lambda _: "6.1.0")
    monkeypatch.setattr(
        superset_start, "__file__", str(ROOT / "stack" / "superset" / "fill_database.py")
    )
    monkeypatch.setattr(os, "execvp", lambda *taken: found.append(taken))
    monkeypatch.setenv("SUPERSET_CONFIG_PATH", str(tmp_path / "superset_config.py"))
    superset_start.main("warehouse:5432/superset", "gunicorn", "--bind")
    assert found == [("gunicorn", ("gunicorn", "--bind"))]
    native = (ROOT / "stack" / "superset" / "superset_config.py").read_bytes()
    fill = (ROOT / "stack" / "superset" / "fill_database.py").read_bytes()
    assert (tmp_path / "superset_config.py").read_bytes() == native
    assert private(tmp_path / "values.json")
    assert json.loads((tmp_path / "values.json").read_text()) == {
        "secret_key": "secret-of-superset_key",
        "database_url": "postgresql+psycopg2://superset:secret-of-%40%3A%2F%25"
        "@warehouse:5432/superset",
        "user": "admin",
        "password": "secret-of-superset_admin",
        "viewer_password": "secret-of-superset_viewer",
        "version": f"superset-6.1.0-{sha256(fill).hexdigest()[:8]}",
    }


def filled_with(module, values, tmp_path, monkeypatch):
    (tmp_path / "values.json").write_text(json.dumps(values))
    monkeypatch.setattr(sys, "argv", ["fill_database.py", str(tmp_path / "values.json")])
    module.main()


@pytest.mark.parametrize(
    ("note", "times"),
    [
        (None, 1),
        ('{"applied": "1234"}', 1),
        ('{"filled_by": "superset-6.0.0", "applied": "1234"}', 1),
        ('{"filled_by": "superset-6.1.0", "applied": "1234"}', 0),
    ],
)
def test_superset_s_database_is_filled_once_by_each_version(
    note, times, fill_database, tmp_path, monkeypatch
):
    module, database, filled = fill_database(note)
    values = {"version": "superset-6.1.0", "database_url": "postgresql+psycopg2://x@y:1/superset"}
    filled_with(module, values, tmp_path, monkeypatch)
    assert len(filled) == times
    assert database.dsn == "postgresql://x@y:1/superset"
    before = json.loads(note or "{}")
    assert json.loads(database.note) == {**before, "filled_by": "superset-6.1.0"}


def test_natively_the_launcher_notes_the_version_and_the_filling_asks_nobody(
    fill_database, tmp_path, monkeypatch
):
    module, database, filled = fill_database(None)
    filled_with(module, {"user": "admin"}, tmp_path, monkeypatch)
    assert filled == [{"user": "admin"}]
    assert database.dsn is None


def test_connector_is_told_where_connect_finds_database_and_password(tmp_path):
    oltp = OltpSettings(host="127.0.0.1", port=15432)
    native = render(ConnectSettings(), oltp, tmp_path / "x.properties")
    assert native["database.hostname"] == "127.0.0.1"
    assert native["database.port"] == "15432"
    assert native["database.password"] == f"${{file:{tmp_path}/x.properties:debezium.password}}"
    there = ConnectSettings(secrets_dir="/run/secrets")
    seen = StackSettings(engine="compose").seen_by_services(oltp)
    inside = render(there, seen, tmp_path / "x.properties")
    assert inside["database.hostname"] == "oltp"
    assert inside["database.port"] == "5432"
    assert inside["database.password"] == "${directory:/run/secrets:oltp_debezium}"
    changed = {key for key in native if native[key] != inside[key]}
    assert changed == {"database.hostname", "database.port", "database.password"}


def test_one_setting_says_to_producer_buffer_and_topics_how_large_a_change_may_be(tmp_path):
    def rendered(megabytes):
        connect = ConnectSettings(max_row_mb=megabytes)
        found = render(connect, OltpSettings(), tmp_path / "x.properties")
        return {
            key: int(found[key]) for key in found if key.endswith((".bytes", ".size", "memory"))
        }

    small, large = rendered(2), rendered(60)
    changed = {key for key in small if small[key] != large[key]}
    assert changed == {
        "producer.override.max.request.size",
        "producer.override.buffer.memory",
        "topic.creation.default.max.message.bytes",
    }
    for found, megabytes in ((small, 2), (large, 60)):
        assert found["producer.override.max.request.size"] == megabytes * 2**20
        assert found["producer.override.buffer.memory"] >= 2 * megabytes * 2**20
        assert found["topic.creation.default.max.message.bytes"] > megabytes * 2**20


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "127.0.0.1:15433"),
        ({"STACK_ENGINE": "compose", "STACK_ENV_FILE": "/nowhere/.env"}, "warehouse:5432"),
    ],
)
def test_charts_are_drawn_from_where_superset_reaches_the_warehouse(
    variables, address, given_secrets
):
    with environment_of({"WAREHOUSE_PORT": "15433", **variables}):
        config = StackConfig()
    assert f"@{address}/warehouse" in Dashboards(config, Secrets(given_secrets))._place().url


@pytest.fixture
def kept(tmp_path):
    """Starts the shell that keeps a program, which is a line of shell here."""
    started = []

    def start(program):
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\necho $*\n{program}\n")
        python.chmod(0o700)
        process = subprocess.Popen(
            ["/bin/sh", ROOT / "docker" / "pipeline" / "keep.sh", "land"],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "-P -m cli land\n"
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("status", [0, 1, 2, 130])
def test_program_that_ends_by_itself_is_left_to_compose(kept, status):
    assert kept(f"exit {status}").wait(30) == status


def test_program_that_waits_for_a_person_rests_until_it_is_stopped(kept):
    process = kept(f"exit {StopPipelineError.exit_status}")
    assert "docker compose restart" in process.stderr.readline()
    assert process.poll() is None
    process.terminate()
    assert process.wait(30) == StopPipelineError.exit_status


def test_program_that_is_told_to_stop_ends_in_its_own_time(kept):
    """It lands what it holds; and what it says then, a stopped container does not rest on."""
    process = kept("trap 'echo landed; exit 3' TERM\necho ready\nwhile :; do sleep 0.05; done")
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.stdout.readline() == "landed\n"
    assert process.wait(30) == StopPipelineError.exit_status
    assert process.stderr.read() == ""
