"""The stack, as somebody at a terminal meets it."""

import json

import pytest

pytestmark = pytest.mark.integration


def status_of(stack) -> dict[str, dict]:
    report = stack.run("status", "--format", "json")
    return {row["service"]: row for row in json.loads(report.stdout)}


def test_up_twice_is_once(stack):
    before = {name: row["pid"] for name, row in status_of(stack).items()}
    stack.up("oltp", "warehouse", "kafka", "connect", "minio")
    after = status_of(stack)
    assert {name: row["pid"] for name, row in after.items()} == before
    assert all(row["is_ready"] for name, row in after.items() if name != "lander")
