"""What the doctor says of machine, services, ports and roles."""

import json
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace

import pytest
from minio.error import MinioAdminException

from lakehouse.environment import environment_of
from lakehouse.errors import Problem
from lakehouse.secrets import Secrets
from stack.control import ServiceStatus
from stack.doctor.clock import diagnose_clocks, diagnose_heartbeats
from stack.doctor.machine import (
    diagnose_memory,
    diagnose_packages,
    diagnose_passwords,
    diagnose_python,
    diagnose_servers,
)
from stack.doctor.roles import Found, Rights, diagnose_roles, rights_elsewhere
from stack.doctor.services import PortMeasurement, diagnose_ports, diagnose_services, is_held_by
from stack.doctor.users import LakeUser, _of_lake, allowed, diagnose_users
from stack.findings import Verdict, wrong
from stack.minio.buckets import policy
from stack.paths import StackConfig
from tests.verdicts import only, verdicts


@pytest.mark.parametrize(("version", "is_fine"), [
    ((3, 10, 9), False), ((3, 11, 0), True), ((3, 12, 9), True), ((3, 13, 0), True),
    ((3, 14, 2), True), ((3, 15, 0), False),
])  # fmt: skip
def test_python_is_one_that_the_locks_are_for(version, is_fine):
    assert (only(diagnose_python(version)).verdict is Verdict.FINE) is is_fine


def test_packages_are_those_that_are_locked():
    wanted = {
        "polars": {"2.1": ""},
        "colorama": {"0.4": "sys_platform == 'win32'"},
        "numpy": {"2.0": "python_version < '3.12'", "2.2": "python_version >= '3.12'"},
    }
    have = {"polars": "2.1", "numpy": "2.2"}
    assert verdicts(diagnose_packages(wanted, have.get)) == [Verdict.FINE]
    told = only(diagnose_packages(wanted, {**have, "polars": "2.0"}.get))
    assert told.words == "polars 2.1 is locked, 2.0 is there"
    assert only(diagnose_packages(wanted, {**have, "numpy": "1.9"}.get)).verdict is Verdict.WRONG
    assert only(diagnose_packages(wanted, {"numpy": "2.0"}.get)).words.endswith("nothing is there")


def test_folder_of_the_cache_that_lost_a_part_is_to_be_recreated(tmp_path):
    kafka, airflow = tmp_path / "kafka-1", tmp_path / "airflow-1"
    jar = kafka / "libs" / "a.jar"
    told = only(diagnose_servers({kafka: [jar]}, {}))
    assert (told.words, told.remedy) == ("not set up yet: kafka-1", "./pipeline up")
    jar.parent.mkdir(parents=True)
    told = only(diagnose_servers({kafka: [jar]}, {}))
    assert told == wrong(f"{kafka} lacks a.jar", f"rm -r {kafka}; ./pipeline up")
    jar.touch()
    assert verdicts(diagnose_servers({kafka: [jar]}, {})) == [Verdict.FINE]
    told = only(diagnose_servers({kafka: [jar]}, {airflow: []}))
    assert (told.verdict, told.words) == (Verdict.FINE, "in the cache, as locked, no airflow yet")


def test_memory_is_enough_to_continue_or_to_start():
    assert verdicts(diagnose_memory(2_000, is_running=True)) == [Verdict.FINE]
    assert verdicts(diagnose_memory(2_000, is_running=False)) == [Verdict.NOTE]
    assert verdicts(diagnose_memory(200, is_running=True)) == [Verdict.WRONG]


def test_passwords_that_others_can_read_are_wrong():
    path = Path("secrets.json")
    for mode in (0o100644, 0o100640, 0o100602):
        assert only(diagnose_passwords(path, mode, [])).remedy == "chmod 600 secrets.json"
    assert only(diagnose_passwords(path, 0o100600, ["oltp_admin"])).remedy == "./pipeline up"
    assert verdicts(diagnose_passwords(path, 0o100600, [])) == [Verdict.FINE]


def test_clock_that_is_off_is_named_with_its_direction():
    assert verdicts(diagnose_clocks({"oltp": 0.5, "minio": -0.5})) == [Verdict.FINE]
    told = diagnose_clocks({"oltp": 90.0, "minio": -7.0})
    assert [one.words for one in told] == [
        "oltp's clock is 90.0 s ahead", "minio's clock is 7.0 s behind",
    ]  # fmt: skip
    assert verdicts(diagnose_clocks({})) == [Verdict.UNCHECKED]


def test_heartbeats_tell_of_the_shop_s_clock_too():
    assert verdicts(diagnose_heartbeats(None, "live")) == [Verdict.FINE]
    ahead, behind = (only(diagnose_heartbeats(seconds, "clock")) for seconds in (3600.0, -90.0))
    assert ahead.verdict is Verdict.WRONG
    assert "3,600 s ahead of the warehouse's clock" in ahead.words
    assert "90 s behind the warehouse's clock" in behind.words
    assert "./pipeline connect status" in behind.remedy


# Services and ports

SERVICES = (
    "oltp", "warehouse", "kafka", "connect", "minio", "auto-restart", "lander", "live",
    "airflow", "airflow-dags", "airflow-scheduler", "superset",
)  # fmt: skip


def statuses(**states):
    names = {name.replace("_", "-"): state for name, state in states.items()}
    return {
        name: ServiceStatus(
            service=name, title=name, state=names.get(name, "RUNNING"),
            is_ready=name not in names, pid=None, uptime_seconds=None, memory_mb=None,
            ports=(), url="", log="",
        )
        for name in SERVICES
    }  # fmt: skip


AIRFLOW_OFF = dict.fromkeys(("airflow", "airflow_dags", "airflow_scheduler"), "STOPPED")


def test_stack_that_is_down_is_one_thing_to_type():
    down = dict.fromkeys((name.replace("-", "_") for name in SERVICES), "STOPPED")
    assert diagnose_services(statuses(**down)) == [wrong("nothing runs", "./pipeline up")]


def test_airflow_and_charts_may_be_left_out_but_not_in_part():
    assert verdicts(diagnose_services(statuses(**AIRFLOW_OFF, superset="STOPPED"))) == [
        Verdict.FINE
    ]
    told = only(diagnose_services(statuses(airflow_scheduler="STOPPED")))
    assert told.remedy == "./pipeline up airflow-scheduler"


@pytest.mark.parametrize("state", ["STOPPED", "FATAL", "EXITED", "BACKOFF", "RUNNING"])
def test_lander_that_does_not_answer_is_wrong_whatever_its_state(state):
    told = only(diagnose_services(statuses(lander=state)))
    assert told.verdict is Verdict.WRONG
    assert "./pipeline up lander" in told.remedy


def test_service_that_starts_is_only_noted():
    assert verdicts(diagnose_services(statuses(kafka="STARTING"))) == [Verdict.NOTE]


def test_each_port_that_somebody_else_has_is_named_once():
    def reading(number, problem=None, *, is_running=False):
        return PortMeasurement(service="s", number=number, is_running=is_running, problem=problem)

    assert verdicts(diagnose_ports([reading(1), reading(2, is_running=True)])) == [Verdict.FINE]
    told = diagnose_ports(
        [reading(1, Problem("s: port 1 is in use by nc", "Stop that.")), reading(2)]
    )
    assert told == [wrong("s: port 1 is in use by nc", "Stop that.")]


def test_port_of_a_service_that_does_not_answer_is_its_own_or_a_strangers():
    assert is_held_by({1, 2}, [2, 7])
    assert is_held_by({1, 2}, [])
    assert is_held_by({1, 2}, [None])
    assert not is_held_by({1, 2}, [7, None])


# Roles

RIGHTS = {"reader": Rights(must={"mart.*": ("select",)}, may={"etl.*": ("select",)})}
TABLES = {"mart.a", "mart.b", "etl.c", "entity.d"}
READS = {("reader", "mart.a", "select"), ("reader", "mart.b", "select")}


def roles(grants=frozenset(READS), powers=(), refused=()):
    has = Found(
        tables=TABLES, grants=grants, powers={"reader": powers}, refused=dict(refused)
    )  # fmt: skip
    return diagnose_roles(RIGHTS, has, prepare="./pipeline up warehouse")


def test_role_with_what_it_needs_and_may_is_fine():
    assert verdicts(roles()) == [Verdict.FINE]
    assert verdicts(roles(READS | {("reader", "etl.c", "select")})) == [Verdict.FINE]


def test_grant_that_is_gone_is_named_and_up_brings_it_back():
    told = only(roles(READS - {("reader", "mart.b", "select")}))
    assert told == wrong("reader lacks select mart.b", "./pipeline up warehouse")


def test_grant_too_much_is_named_with_what_takes_it_back():
    told = only(roles(READS | {("reader", "entity.d", "delete")}))
    assert told.remedy == "as admin: revoke delete on entity.d from reader"


def test_power_too_much_or_too_little_is_named():
    assert only(roles(powers=["superuser"])).remedy == "as admin: alter role reader nosuperuser"
    assert only(roles(powers=["batch"])).remedy == "as admin: revoke batch from reader"
    needs = {"debezium": Rights(must={}, powers=("replication",))}
    has = Found(tables=(), grants=(), powers={"debezium": []}, refused={})
    assert (
        only(diagnose_roles(needs, has, prepare="./pipeline up oltp")).words
        == "debezium is no replication"
    )


def test_reader_may_see_beyond_policies_and_need_not():
    rights = {"reconcile": Rights(must={}, may_be=("bypassrls",))}
    for powers in ([], ["bypassrls"]):
        has = Found(tables=(), grants=(), powers={"reconcile": powers}, refused={})
        assert verdicts(diagnose_roles(rights, has, prepare="./pipeline up oltp")) == [Verdict.FINE]


def test_role_that_is_not_let_in_or_not_there_is_wrong():
    assert verdicts(roles(refused={"reader": "password authentication failed"})) == [Verdict.WRONG]
    gone = Found(tables=TABLES, grants=(), powers={}, refused={})
    assert (
        only(diagnose_roles(RIGHTS, gone, prepare="./pipeline up x")).words
        == "role reader does not exist"
    )


def test_user_of_the_lake_has_its_policy_and_no_other():
    own = policy([{"Effect": "Allow", "Action": ["a", "b"], "Resource": ["r"]}])
    wide = policy([{"Effect": "Allow", "Action": ["a", "b"], "Resource": ["r", "s"]}])
    user = LakeUser(is_enabled=True, policies=["reader"], policy=own)

    def validated(user):
        return only(diagnose_users({"reader": own}, {"reader": user})).verdict

    assert validated(user) is Verdict.FINE
    assert validated(None) is Verdict.WRONG
    assert validated(LakeUser(is_enabled=False, policies=["reader"], policy=own)) is Verdict.WRONG
    assert (
        validated(LakeUser(is_enabled=True, policies=["a", "reader"], policy=own)) is Verdict.WRONG
    )
    assert validated(LakeUser(is_enabled=True, policies=["reader"], policy=wide)) is Verdict.WRONG
    assert allowed(own) == {("a", "r"), ("b", "r")}


class Admin:
    """MinIO's admin interface, which refuses with the code that it gives."""

    def __init__(self, code):
        self.code = code

    def user_info(self, user):
        body = json.dumps({"Code": self.code})
        raise MinioAdminException(str(HTTPStatus.NOT_FOUND.value), body)


@pytest.mark.parametrize("code", ["XMinioAdminNoSuchUser", "XMinioAdminNoSuchPolicy"])
def test_user_that_the_lake_does_not_know_is_wrong(code, tmp_path, monkeypatch):
    said = users_of_lake(tmp_path, monkeypatch, Admin(code))
    assert [one.words for one in said] == [
        f"user {name} or its policy does not exist" for name in ("lander", "batch", "reader")
    ]


def test_user_is_not_missing_where_the_lake_refuses_to_tell(tmp_path, monkeypatch):
    with pytest.raises(MinioAdminException, match="SignatureDoesNotMatch"):
        users_of_lake(tmp_path, monkeypatch, Admin("SignatureDoesNotMatch"))


@pytest.mark.parametrize(("enters", "verdict"), [(True, Verdict.FINE), (False, Verdict.WRONG)])
def test_store_elsewhere_is_only_asked_whether_users_get_in(enters, verdict, tmp_path, monkeypatch):
    """It may be no MinIO, and have none of its admin interface."""
    monkeypatch.setattr("stack.doctor.users.may_enter", lambda *_: enters)
    [said] = users_of_lake(tmp_path, monkeypatch, Admin("AccessDenied"), MINIO_HOST="192.0.2.1")
    assert said.verdict is verdict
    assert said.words == ("3 users get in" if enters else "lander, batch, reader cannot get in")


def users_of_lake(tmp_path, monkeypatch, admin, **variables):
    monkeypatch.setattr("stack.doctor.users.admin_of", lambda *_: admin)
    with environment_of({"STACK_DATA_DIR": str(tmp_path), **variables}):
        config = StackConfig()
    secrets = Secrets(tmp_path / "secrets.json").complete()
    return _of_lake(SimpleNamespace(config=config, secrets=secrets))


def test_roles_of_a_shop_elsewhere_may_be_what_their_provider_makes_them():
    rights = rights_elsewhere()
    assert "simulator" not in rights
    has = Found(
        tables=["public.orders", "cdc.heartbeat", "cdc.signal"],
        grants=[
            *(("debezium", "cdc.heartbeat", one) for one in ("select", "insert", "update")),
            *(("debezium", "cdc.signal", one) for one in ("select", "insert", "delete")),
            *(("reconcile", "cdc.heartbeat", one) for one in ("select", "insert", "update")),
            ("monitor", "cdc.heartbeat", "select"), ("extract", "cdc.signal", "insert"),
        ],
        powers={"debezium": ["rds_replication"], "monitor": [], "reconcile": [], "extract": []},
        refused={},
    )  # fmt: skip
    assert verdicts(diagnose_roles(rights, has, prepare="x")) == [Verdict.FINE]
    mighty = replace(has, powers={**has.powers, "monitor": ["superuser"]})
    assert only(diagnose_roles(rights, mighty, prepare="x")).words.startswith(
        "monitor is superuser"
    )
