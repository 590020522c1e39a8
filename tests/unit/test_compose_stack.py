"""STACK_ENGINE=compose: the same commands ask Docker Compose, and say plainly what it lacks."""

import json
import stat
from datetime import UTC, datetime

import pytest
import yaml

from lakehouse.environment import environment_of
from lakehouse.errors import RetryLaterError, StopPipelineError
from stack.bootstrap import Step
from stack.catalog import DEFAULT, MONITORING, services
from stack.compose import _SET_UP, ComposeStack, statuses
from stack.control import Stack
from stack.engine import stack_of_settings
from stack.env_file import COMPOSE_FILE
from stack.prepare import Preparations, preparations
from stack.service_user import ServiceUser

DOCKER = """#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
case "$*" in
  *" ps "*) echo one two ;;
  inspect*) cat "$INSPECTED" ;;
  *" logs "*) printf 'first\\nsecond\\n' ;;
  *" down"*) echo 'no such engine' >&2; exit 1 ;;
esac
"""


def container(service, *, status="running", health=None):
    state = {
        "Status": status,
        "Running": status == "running",
        "Pid": 77,
        "StartedAt": "2026-01-02T03:04:05.123456789Z",
    }
    if health:
        state["Health"] = {"Status": health}
    return {"Config": {"Labels": {"com.docker.compose.service": service}}, "State": state}


@pytest.fixture
def machine(tmp_path):
    """A docker command that notes what it is asked; variables of a stack beside it."""
    program = tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    (tmp_path / "inspected").write_text("[]")
    variables = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "CALLS": str(tmp_path / "calls"),
        "INSPECTED": str(tmp_path / "inspected"),
        "STACK_ENGINE": "compose",
        "STACK_DATA_DIR": str(tmp_path / "var"),
        "STACK_ENV_FILE": str(tmp_path / ".env"),
    }
    with environment_of(variables):
        yield tmp_path


def calls(machine):
    lines = (machine / "calls").read_text().splitlines()
    asked = f"--env-file {machine / '.env'} "
    return [line.split(asked)[-1] for line in lines]


def test_the_setting_says_what_runs_the_services(machine):
    assert isinstance(stack_of_settings(), ComposeStack)
    with environment_of({"STACK_DATA_DIR": str(machine)}):
        assert isinstance(stack_of_settings(), Stack)


def test_up_makes_the_passwords_and_waits_for_the_profiles_of_the_file(machine):
    ComposeStack().up(DEFAULT)
    assert stat.S_IMODE((machine / ".env").stat().st_mode) == 0o600
    assert calls(machine) == ["--progress plain up --detach --wait --wait-timeout 300"]


def test_up_of_some_services_starts_those_whatever_the_profiles(machine):
    ComposeStack().up(["lander"])
    assert calls(machine) == [
        "--profile * --progress plain up --detach --wait --wait-timeout 300 lander"
    ]


def test_up_of_a_server_sets_it_up_too_though_nobody_waits_for_that(machine):
    ComposeStack().up(["oltp", "superset"])
    up, *after = calls(machine)
    assert up.endswith(" --wait-timeout 300 oltp superset setup-dashboards")
    assert after == ["--profile * run --rm --no-TTY setup-oltp"]


def test_who_waits_for_a_set_up_in_the_file_is_who_is_taken_to(machine):
    """Of these, `up` need not run it once more."""
    services = yaml.safe_load(COMPOSE_FILE.read_text())["services"]

    def waits(name):
        needs = services[name].get("depends_on", {})
        return {*needs, *(other for need in needs for other in waits(need))}

    for server, waiting in _SET_UP.items():
        assert f"setup-{server}" in waits(waiting)
    assert {f"setup-{server}" for server in _SET_UP} == {
        name
        for name in services
        if name.startswith("setup-") and services[name]["profiles"] == ["core"]
    }


def test_a_service_that_there_is_not_is_told_before_anything_is_started(machine):
    with pytest.raises(StopPipelineError, match=r"no service 'landers'.*lander"):
        ComposeStack().up(["landers"])
    assert not (machine / "calls").exists()


def test_what_compose_says_of_a_failure_is_told(machine):
    ComposeStack().up()
    with pytest.raises(StopPipelineError, match="no such engine"):
        ComposeStack().down()


def test_status_tells_of_every_service_what_its_container_says(machine):
    ComposeStack().up()
    found = [
        container("lander", health="healthy"),
        container("live", health="starting"),
        container("kafka", status="exited", health="unhealthy"),
        container("setup-oltp", status="exited"),
    ]
    (machine / "inspected").write_text(json.dumps(found))
    rows = {row.service: row for row in ComposeStack().status()}
    assert list(rows) == [*DEFAULT, *MONITORING]
    assert (rows["lander"].state, rows["lander"].is_ready, rows["lander"].pid) == (
        "RUNNING", True, 77,
    )  # fmt: skip
    assert (rows["live"].state, rows["live"].is_ready) == ("RUNNING", False)
    assert (rows["kafka"].state, rows["kafka"].is_ready, rows["kafka"].pid) == (
        "EXITED",
        False,
        None,
    )
    assert (rows["oltp"].state, rows["oltp"].is_ready) == ("STOPPED", False)


def test_a_container_is_up_since_it_was_started(machine):
    known = services(ComposeStack().config, None, ServiceUser()).values()
    now = datetime(2026, 1, 2, 3, 5, 5, tzinfo=UTC)
    found = [container("lander"), container("live", status="exited")]
    rows = {row.service: row for row in statuses(found, known, now=now)}
    assert (rows["lander"].uptime_seconds, rows["live"].uptime_seconds) == (60, None)


def test_logs_are_those_of_the_container(machine):
    ComposeStack().up()
    lines = ComposeStack().log_lines("lander", lines=5, follow=True)
    assert list(lines) == ["first", "second"]
    assert calls(machine)[-1] == "--profile * logs --no-log-prefix --tail 5 --follow lander"


def test_without_docker_the_way_out_is_told(machine):
    ComposeStack().up()
    with (
        environment_of(
            {"STACK_ENGINE": "compose", "STACK_ENV_FILE": str(machine / ".env"), "PATH": "/"}
        ),
        pytest.raises(StopPipelineError, match=r"no docker command.*unset STACK_ENGINE"),
    ):
        ComposeStack().status()


def test_before_env_init_the_command_for_it_is_told(machine):
    with pytest.raises(StopPipelineError, match=r"\./pipeline env init"):
        ComposeStack().status()


def test_a_step_that_is_not_ready_is_tried_again_and_those_behind_it_wait():
    done = []

    def second():
        done.append("second")
        if done.count("second") < 3:
            raise RetryLaterError

    steps = [Step(service="x", name=name, do=do) for name, do in
             [("first", lambda: done.append("first")), ("second", second),
              ("third", lambda: done.append("third"))]]  # fmt: skip
    slept = []
    known = Preparations(steps={"x": tuple(steps)})
    known.prepare("x", patience_seconds=1e9, sleep=slept.append)
    assert done == ["first", "second", "second", "second", "third"]
    assert len(slept) == 2


def test_a_step_that_is_never_ready_ends_with_its_own_words():
    def never():
        message = "the database is away"
        raise RetryLaterError(message)

    known = Preparations(steps={"x": (Step(service="x", name="n", do=never),)})
    with pytest.raises(RetryLaterError, match="the database is away"):
        known.prepare("x", patience_seconds=-1.0, sleep=pytest.fail)


def test_there_is_something_to_prepare_for_each_service_that_needs_it(machine):
    stack = ComposeStack()
    known = preparations(stack.config, None)
    assert known.steps.keys() == {
        "oltp", "warehouse", "minio", "connect", "superset", "superset-database",
        "airflow-database",
    }  # fmt: skip
    with pytest.raises(StopPipelineError, match="nothing to prepare for 'kafka'"):
        known.prepare("kafka", patience_seconds=1)
