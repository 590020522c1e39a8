"""Servers on other machines: what `up` says of them, and what it refuses to start for them."""

import io

import pytest
from rich.console import Console

from lakehouse.environment import environment_of
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
