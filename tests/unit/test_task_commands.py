"""A command as a task: which of its ends are a result, which are tried again, which are not."""

import sys

import pytest

from lakehouse.errors import RetryLaterError, StopPipelineError
from orchestration.command import require_all_read, run_command

READ = {"table": "orders", "state": "read", "reason": None}
STOPPED = {"table": "payments", "state": "stopped", "reason": None}


@pytest.fixture
def ends(tmp_path, monkeypatch):
    """Let the command print this, say this, and end so."""

    def set_up(out, told, status):
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\nprintf '%s' '{out}'\necho '{told}' >&2\nexit {status}\n")
        program.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(program))

    return set_up


@pytest.mark.parametrize("status", [0, 1])
def test_one_that_did_its_work_has_a_result_also_if_it_says_no(ends, status):
    ends('{"rows": 3}', "done", status)
    assert run_command(["extract"]) == {"rows": 3}


@pytest.mark.parametrize(
    ("out", "status", "error"),
    [
        ("", 1, RetryLaterError),
        ("", 2, StopPipelineError),
        ("", 70, StopPipelineError),
        ("", 137, RetryLaterError),
        ("", 3, StopPipelineError),
        ('{"rows": 3}', 3, StopPipelineError),
        ('{"rows": 3}', 130, RetryLaterError),
    ],
)
def test_one_without_a_result_is_tried_again_unless_a_person_has_to_act(ends, out, status, error):
    ends(out, "do this", status)
    with pytest.raises(error, match="do this") as raised:
        run_command(["extract"])
    assert type(raised.value) is error


def test_what_was_read_to_its_end_is_complete():
    require_all_read({"is_complete": True, "tables": [READ]})


def test_table_that_was_not_read_is_named_and_a_person_has_to_act():
    with pytest.raises(StopPipelineError, match=r"completely: payments \(stopped\)"):
        require_all_read({"is_complete": False, "tables": [READ, STOPPED]})
