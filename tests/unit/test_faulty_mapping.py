"""While mapping.yaml is faulty, commands that look or stop work; those that need it refuse."""

import json
import os
import subprocess
import sys

import pytest
import typer.main
from typer.core import TyperGroup

from cli.__main__ import app
from cli.faulty_mapping import TELLING_IT, WITHOUT_MAPPING

FAULT = "mapping.yaml:2: not YAML"
NO_SHOP = "postgresql://nobody@127.0.0.1:1/shop"


def commands(group, path=()):
    for name, command in group.commands.items():
        here = (*path, name)
        yield here
        if isinstance(command, TyperGroup):
            yield from commands(command, here)


HELP = """
import json, sys
from cli import __main__ as cli
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = [*words, "--help"]
    cli.run()
"""
ALL = list(commands(typer.main.get_group(app)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contracts")
    (folder / "mapping.yaml").write_text("orders: [\n")
    env = os.environ | {"CONTRACTS_DIR": str(folder), "STACK_DATA_DIR": str(folder / "stack")}

    def of(*words, program=("-m", "cli")):
        return subprocess.run(
            [sys.executable, "-P", *program, *words],
            capture_output=True, check=False, text=True, timeout=120, env=env,
        )  # fmt: skip

    return of


def test_each_command_that_needs_no_mapping_exists():
    assert {" ".join(one) for one in ALL} >= WITHOUT_MAPPING >= TELLING_IT


def test_help_of_all_can_be_read(run):
    # In one process: sixty of them take a minute.
    found = run(json.dumps(ALL), program=("-c", HELP))
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.count("Usage: ./pipeline") == len(ALL)
    assert "Usage: ./pipeline down" in run("down", "--help").stdout


@pytest.mark.parametrize("words", ["down", "status", "logs lander", "settings"])
def test_commands_that_look_or_stop_tell_the_fault_and_work(run, words):
    found = run(*words.split())
    assert found.returncode == 0, found.stderr
    assert "Warning: the mapping is faulty" in found.stderr
    assert FAULT in found.stderr


@pytest.mark.parametrize(
    "words",
    [
        "up", "demo", "consolidate", "quarantine list", "query select", "land", "live", "tables",
        "reconcile", "contract derive", "new mart fact_x --entity orders", "recommend --customer 1",
    ],
)  # fmt: skip
def test_commands_that_need_it_refuse(run, words):
    found = run(*words.split())
    assert (found.returncode, found.stdout) == (3, "")
    assert found.stderr.startswith("Error ")
    assert FAULT in found.stderr


def test_a_new_mapping_is_not_written_over_the_faulty_one(run):
    found = run("new", "mapping")
    assert found.returncode == 2
    assert "Edit it, or move it away" in found.stderr


def test_source_commands_reach_the_shop(run):
    for command in ("check", "remove"):
        found = run("source", command, NO_SHOP)
        assert found.returncode == 1
        assert "port 1 failed" in found.stderr


def test_doctor_tells_the_fault_and_compares_nothing_with_contracts(run):
    found = run("doctor", "--format", "json", "--timeout", "20")
    assert found.returncode == 1
    rows = {(one["area"], one["title"]): one for one in json.loads(found.stdout)}
    told = rows["shop", "mapping"]
    assert told["verdict"] == "wrong"
    assert FAULT in told["words"]
    assert rows["lake", "tables"]["words"] == "the mapping is faulty"
    assert rows["machine", "Python"]["verdict"] == "fine"


def test_a_program_of_its_own_has_no_other_contracts(run):
    found = run("-c", "import lakehouse.contracts", program=())
    assert found.returncode == 1
    assert FAULT in found.stderr
