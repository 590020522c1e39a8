"""Versions of code and contracts: they follow contents, and nothing else."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from lakehouse.contracts import ENTITIES, Rule, Type
from lakehouse.environment import process_environment
from lakehouse.settings import ROOT
from lakehouse.version import code_version, contract_version, contracts_version, declared_version

SAY = """
from lakehouse.version import code_version, contract_version, contracts_version
print(code_version(), contract_version("orders"), contracts_version())
"""


@pytest.fixture
def checkout(tmp_path):
    """A small one."""
    for name, text in {
        "batch/a.py": "1", "batch/deep/b.sql": "2", "batch/notes.md": "3",
        "producers/c.py": "4", "lakehouse/contracts/d.py": "5", "lakehouse/cleaning/e.py": "6",
    }.items():  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def again(version, checkout, tmp_path_factory, *values):
    """Of a copy: versions are remembered by folder."""
    copy = tmp_path_factory.mktemp("copy") / "checkout"
    shutil.copytree(checkout, copy)
    return version(*values, copy)


def test_versions_are_twelve_digits_and_the_same_in_another_process_with_another_hash_seed():
    here = [code_version(), contract_version("orders"), contracts_version()]
    assert all(len(one) == 12 and int(one, 16) >= 0 for one in here)
    for seed in ("1", "2"):
        said = subprocess.run(
            [sys.executable, "-c", SAY], cwd=ROOT, capture_output=True, text=True, check=True,
            env=process_environment() | {"PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert said.stdout.split() == here


@pytest.mark.parametrize(
    ("name", "is_other"),
    [
        pytest.param("batch/a.py", True, id="python"),
        pytest.param("batch/deep/b.sql", True, id="sql"),
        pytest.param("batch/new.py", True, id="new-file"),
        pytest.param("batch/notes.md", False, id="no-code"),
        pytest.param("producers/c.py", False, id="the-simulator"),
    ],
)
def test_code_version_follows_what_decides_results(checkout, tmp_path_factory, name, is_other):
    before = code_version(checkout)
    (checkout / name).write_text("changed")
    assert (again(code_version, checkout, tmp_path_factory) != before) is is_other


def test_code_version_does_not_follow_times_nor_places(checkout, tmp_path_factory):
    before = code_version(checkout)
    os.utime(checkout / "batch/a.py", (1, 1))
    assert again(code_version, checkout, tmp_path_factory) == before


def test_file_that_moves_is_another_version(checkout, tmp_path_factory):
    before = code_version(checkout)
    (checkout / "batch/a.py").rename(checkout / "batch/z.py")
    assert again(code_version, checkout, tmp_path_factory) != before


@pytest.mark.parametrize("name", ["lakehouse/contracts/d.py", "lakehouse/cleaning/e.py"])
def test_contract_version_follows_what_rules_call(checkout, tmp_path_factory, name):
    before = contract_version("orders", checkout)
    (checkout / name).write_text("changed")
    assert again(contract_version, checkout, tmp_path_factory, "orders") != before


def test_contract_version_follows_columns_and_rules():
    orders = ENTITIES["orders"]
    first, *others = orders.columns
    rule = Rule(name="more", description="More.", holds="version > 1")
    versions = [
        declared_version(orders),
        declared_version(replace(orders, columns=(replace(first, minimum=7), *others))),
        declared_version(replace(orders, columns=(replace(first, type=Type.TEXT), *others))),
        declared_version(replace(orders, columns=(*others, first))),
        declared_version(replace(orders, rules=(*orders.rules, rule))),
        declared_version(replace(orders, rules=())),
    ]
    assert len(set(versions)) == len(versions)
    assert declared_version(orders) == contract_version("orders")


def test_every_table_has_a_version_of_its_own():
    assert (
        len({contract_version(name) for name in ENTITIES} | {contracts_version()})
        == len(ENTITIES) + 1
    )
