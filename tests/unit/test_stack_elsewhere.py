"""Servers on other machines: what `up` says of them, and what it refuses to start for them."""

import io

import pytest
from rich.console import Console

from lakehouse.environment import environment_of
from lakehouse.errors import StopPipelineError
from stack.bootstrap import steps
from stack.catalog import SERVERS
from stack.control import Stack
from stack.paths import StackConfig
from stack.progress import Steps
from stack.service_user import ServiceUser


@pytest.fixture(autouse=True)
def _any_user(monkeypatch):
    monkeypatch.setattr("stack.control.find_service_user", lambda _name: ServiceUser())


def stack_of(tmp_path, **variables):
    with environment_of({"STACK_DATA_DIR": str(tmp_path), **variables}):
        return Stack(StackConfig())


def notes_of(stack, *names):
    text = io.StringIO()
    left = stack._of_this_machine(names, Steps(Console(file=text)))
    return [service.name for service in left], text.getvalue().splitlines()


def test_each_server_elsewhere_is_named_with_what_it_needs_once(tmp_path):
    hosts = {f"{name.upper()}_HOST": "192.0.2.1" for name in SERVERS}
    stack = stack_of(tmp_path, **hosts)
    left, notes = notes_of(stack, *SERVERS, "lander")
    assert left == ["lander"]
    once = [note.partition(" and not started here")[2] for note in notes]
    assert once == [
        "; what it needs once: ./pipeline source check URL",
        "; what it needs once: ./pipeline prepare warehouse",
        "",
        "; what it needs once: ./pipeline prepare connect",
        "; what it needs once: ./pipeline prepare minio",
    ]
    prepared = {step.service for step in steps(stack.config, stack._secrets)}
    assert {n.rpartition(" ")[2] for n in once if "prepare" in n} <= prepared


TLS = {
    "kafka": {"KAFKA_SECURITY": "security.protocol=SSL"},
    "connect": {"CONNECT_SCHEME": "https"},
    "minio": {"MINIO_SCHEME": "https"},
}


@pytest.fixture
def installed(monkeypatch):
    """What an `up` that gets so far raises, before anything is installed."""

    class InstalledError(Exception):
        pass

    def install(*_, **__):
        raise InstalledError

    monkeypatch.setattr("stack.control.installing", install)
    monkeypatch.setattr("stack.control.check_paths", lambda *_: None)
    return InstalledError


@pytest.mark.parametrize("name", TLS)
def test_up_refuses_tls_with_a_server_that_it_starts_without(name, tmp_path, installed):
    [variable] = TLS[name]
    said = f"{variable} asks for .*, and {name} is started here with .*{name.upper()}_HOST"
    with pytest.raises(StopPipelineError, match=said):
        stack_of(tmp_path, **TLS[name]).up([name])


@pytest.mark.parametrize("name", TLS)
def test_up_lets_pass_tls_with_a_server_that_it_does_not_start(name, tmp_path, installed):
    there = {f"{name.upper()}_HOST": "192.0.2.1"}
    with pytest.raises(installed):
        stack_of(tmp_path, **TLS[name], **there).up([name])
    with pytest.raises(installed):
        stack_of(tmp_path, **TLS[name]).up(["oltp"])


def test_up_lets_pass_what_its_own_servers_have(tmp_path, installed):
    plain = {"KAFKA_SECURITY": "security.protocol=PLAINTEXT", "MINIO_SCHEME": "http"}
    with pytest.raises(installed):
        stack_of(tmp_path, **plain).up(SERVERS)
