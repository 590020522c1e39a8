"""A stack of another shop: what is checked, run and started again for its mapping."""

from contextlib import nullcontext
from shutil import copytree

import pytest

from lakehouse.environment import environment_of
from lakehouse.errors import StopPipelineError, WrongArgumentError
from lakehouse.secrets import Secrets
from lakehouse.settings import ROOT
from stack.bootstrap import steps
from stack.catalog import services
from stack.control import Stack
from stack.install import Installation
from stack.paths import Data, StackConfig
from stack.preflight import check_example
from stack.service_user import ServiceUser

EXAMPLE = ROOT / "examples" / "other_shop"


@pytest.fixture
def other(tmp_path):
    """The folder of another shop, to be edited, and the environment in which it is looked for."""
    folder = tmp_path / "other"
    copytree(EXAMPLE, folder)
    with environment_of({"STACK_DATA_DIR": str(tmp_path), "CONTRACTS_DIR": str(folder)}):
        yield folder


def programs(tmp_path):
    found = services(StackConfig(), Secrets(tmp_path / "secrets.json"), ServiceUser())
    return {name: service.program.configuration for name, service in found.items()}


def test_programs_that_read_the_mapping_start_again_when_it_changes(other, tmp_path):
    before = programs(tmp_path)
    (other / "mapping.yaml").write_text((other / "mapping.yaml").read_text() + "# edited\n")
    after = programs(tmp_path)
    changed = {name for name in before if before[name] != after[name]}
    assert changed >= {"lander", "live", "airflow-dags", "airflow-scheduler"}
    assert not changed & {"oltp", "warehouse", "kafka", "connect", "minio", "superset", "airflow"}


def test_warehouse_begins_after_the_mapping_was_checked(other, tmp_path):
    found = services(StackConfig(), Secrets(tmp_path / "secrets.json"), ServiceUser())
    assert "oltp" in found["warehouse"].needs
    (other / "mapping.yaml").unlink()
    found = services(StackConfig(), Secrets(tmp_path / "secrets.json"), ServiceUser())
    assert found["warehouse"].needs == ()


@pytest.fixture
def done(monkeypatch):
    """What the shop's schema step does."""
    found = []
    monkeypatch.setattr("stack.bootstrap.oltp_dsn", lambda *_, **__: "dsn")
    monkeypatch.setattr("stack.bootstrap.apply_schema", lambda *given: found.append(given[1:]))
    monkeypatch.setattr("stack.bootstrap.require_mapping_fits", lambda _: found.append("fits"))
    return found


def schema(tmp_path, **given):
    config = StackConfig(**given)
    for step in steps(config, Secrets(tmp_path / "secrets.json")):
        if (step.service, step.name) == ("oltp", "schema"):
            step.do()


def test_nothing_of_a_user_is_run_in_a_database_unless_it_is_asked_for(other, tmp_path, done):
    schema(tmp_path)
    assert done == ["fits"]
    done.clear()
    schema(tmp_path, example=other)
    assert done == [(other / "schema.sql",), "fits"]
    done.clear()
    (other / "mapping.yaml").unlink()
    schema(tmp_path)
    assert done == [(), "fits"]


def test_data_of_an_example_are_of_that_shop_only(other, tmp_path, monkeypatch):
    monkeypatch.setattr("stack.control.check_paths", lambda *_: None)
    data = Data(root=tmp_path)
    check_example(StackConfig(), data)
    check_example(StackConfig(example=other), data)
    data.example.write_text(f"{other}\n")
    check_example(StackConfig(), data)
    check_example(StackConfig(example=other), data)
    with (
        environment_of({"STACK_DATA_DIR": str(tmp_path)}),
        pytest.raises(WrongArgumentError, match=f"export CONTRACTS_DIR={other}"),
    ):
        Stack(StackConfig()).up()


def test_example_over_the_data_of_our_own_shop_is_refused(other, tmp_path):
    data = Data(root=tmp_path)
    data.of("oltp").mkdir()
    check_example(StackConfig(), data)
    with pytest.raises(WrongArgumentError, match="has the data of another shop already"):
        check_example(StackConfig(example=other), data)


def test_example_makes_no_tables_on_another_machine(other, tmp_path):
    given = {"OLTP_HOST": "192.0.2.1", "CONTRACTS_DIR": str(other)}
    with environment_of(given), pytest.raises(WrongArgumentError, match=r"OLTP_HOST is 192\.0\.2"):
        check_example(StackConfig(example=other), Data(root=tmp_path))


def test_mapping_of_a_shop_elsewhere_is_checked_before_anything_starts(
    other, tmp_path, monkeypatch
):
    def refuse(dsn):
        raise StopPipelineError(dsn)

    monkeypatch.setattr("stack.control.require_mapping_fits", refuse)
    monkeypatch.setattr("stack.control.installing", lambda *_: nullcontext(Installation()))
    monkeypatch.setattr("stack.control.check_paths", lambda *_: None)
    given = {
        "OLTP_HOST": "192.0.2.1", "CONTRACTS_DIR": str(other), "STACK_DATA_DIR": str(tmp_path),
    }  # fmt: skip
    with environment_of(given), pytest.raises(StopPipelineError, match="user=monitor"):
        Stack(StackConfig()).up(["connect"])
    assert not (tmp_path / "oltp").exists()


def test_other_types_of_keys_are_refused_before_a_program_is_stopped(other, tmp_path, monkeypatch):
    """Programs that read the mapping are stopped when it changes, and would stay so."""

    def refuse(dsn):
        raise StopPipelineError(dsn)

    monkeypatch.setattr("stack.control.require_same_keys", refuse)
    monkeypatch.setattr("stack.control.installing", lambda *_: nullcontext(Installation()))
    monkeypatch.setattr("stack.control.check_paths", lambda *_: None)
    monkeypatch.setattr(Stack, "_alive", lambda _: frozenset({"warehouse", "lander"}))
    affected = []
    monkeypatch.setattr(Stack, "_supervise", lambda *_: affected.append("supervise") or set())
    monkeypatch.setattr(Stack, "_stop_all_but", lambda *_: affected.append("stop"))
    given = {"CONTRACTS_DIR": str(other), "STACK_DATA_DIR": str(tmp_path)}
    with environment_of(given), pytest.raises(StopPipelineError, match="user=batch"):
        Stack(StackConfig()).up(["lander"])
    assert affected == []
    monkeypatch.setattr(Stack, "_start_all", lambda *_: affected.append("start"))
    with environment_of(given):
        Stack(StackConfig()).up(["kafka"])  # reads no keys
    assert affected == ["supervise", "start"]
