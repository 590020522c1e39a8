"""The stack, as somebody at a terminal meets it."""

import json

import pytest

from stack.catalog import SERVERS

pytestmark = pytest.mark.integration


def status_of(stack) -> dict[str, dict]:
    report = stack.run("status", "--format", "json")
    return {row["service"]: row for row in json.loads(report.stdout)}


def test_up_twice_is_once(stack):
    before = {name: row["pid"] for name, row in status_of(stack).items()}
    stack.up(*SERVERS)
    after = status_of(stack)
    assert {name: row["pid"] for name, row in after.items()} == before
    assert all(after[name]["is_ready"] for name in SERVERS)
