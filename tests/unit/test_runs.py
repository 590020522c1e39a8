"""What a run says of itself, where no database is needed."""

import getpass
import os
from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import uuid4

import pytest
from rich.console import Console

from batch.runs import Kind, Outcome, Run, RunRow, StepwiseRun, latest, recorded
from batch.runs.model import message_of, whoami
from batch.runs.steps import merged, standing
from cli import output
from cli import runs as cli
from lakehouse.errors import RetryLaterError, StopPipelineError

NOWHERE = "host=127.0.0.1 port=1 dbname=none connect_timeout=1"
BEGAN = datetime(2026, 3, 10, 12, tzinfo=UTC)


def a_row(**values):
    known = {
        "run_number": 1, "run_id": uuid4(), "kind": Kind.REPLAY, "what": "", "scope": {},
        "code_version": "c", "contract_version": "d", "who": "me", "outcome": Outcome.SUCCEEDED,
        "rows_read": None, "rows_written": None, "digest": None, "details": {}, "message": None,
        "started_at": BEGAN, "noted_at": BEGAN + timedelta(seconds=5),
        "finished_at": BEGAN + timedelta(seconds=7),
    }  # fmt: skip
    return RunRow(**known | values)


def test_what_is_noted_later_is_added_and_the_last_of_a_name_counts():
    run = Run(uuid4(), {"layer": "silver"})
    run.note(rows_read=1, details={"a": 1, "b": 1}, digest={"orders": {"before": "x"}})
    run.note(rows_written=2, details={"b": 2}, scope={"first_offset": 7})
    noted = run.noted
    assert (noted.rows_read, noted.rows_written) == (1, 2)
    assert noted.details == {"a": 1, "b": 2}
    assert noted.scope == {"layer": "silver", "first_offset": 7}
    assert noted.digest == {"orders": {"before": "x"}}


def test_run_that_died_lasted_until_it_was_last_heard_of():
    assert a_row().seconds == 7
    assert a_row(finished_at=None, outcome=Outcome.INTERRUPTED).seconds == 5
    assert a_row(finished_at=None, outcome=Outcome.RUNNING).seconds > 7


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(KeyboardInterrupt(), "interrupted", id="control-c"),
        pytest.param(StopPipelineError("Stop it."), "Stop it.", id="ours"),
        pytest.param(ValueError("7"), "ValueError: 7", id="a-mistake"),
    ],
)
def test_message_says_what_happened(error, said):
    assert message_of(error) == said


def test_without_a_warehouse_nothing_is_done_that_has_to_be_recorded():
    done = []
    with (
        pytest.raises(RetryLaterError, match="does not answer"),
        recorded(NOWHERE, kind=Kind.CONSOLIDATION, scope={}),
    ):
        done.append(1)
    assert not done
    with pytest.raises(RetryLaterError, match="does not answer"):
        latest(NOWHERE)


def test_without_a_warehouse_the_rest_is_done_all_the_same():
    with recorded(NOWHERE, kind=Kind.EXTRACTION, scope={}, is_required=False) as run:
        run.note(rows_read=3)
    assert run.noted.rows_read == 3
    with (
        pytest.raises(ValueError, match="mine"),
        recorded(NOWHERE, kind=Kind.EXTRACTION, scope={}, is_required=False),
    ):
        int("mine")


def test_user_without_a_name_is_a_number(monkeypatch):
    def nobody():
        raise OSError

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert whoami().startswith(f"{os.getuid()}@")


def a_step(outcome, **values):
    return {"outcome": outcome, "message": None, "rows_read": None, "rows_written": None} | values


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        pytest.param({"a": "running"}, "running", id="the-first-goes-on"),
        pytest.param({"a": "succeeded"}, "running", id="one-is-to-come"),
        pytest.param({"a": "succeeded", "b": "succeeded"}, "succeeded", id="all"),
        pytest.param({"a": "failed", "b": "succeeded"}, "failed", id="one-failed"),
        pytest.param({"a": "failed", "b": "running"}, "running", id="the-other-goes-on"),
    ],
)
def test_run_stands_as_its_steps_do(outcomes, expected):
    steps = {name: a_step(outcome) for name, outcome in outcomes.items()}
    assert standing(steps, ["a", "b"]).outcome == expected


def test_rows_of_a_run_are_those_of_its_steps_and_nothing_where_none_counts():
    steps = {"a": a_step("succeeded", rows_read=2), "b": a_step("failed", rows_read=3)}
    found = standing(steps | {"c": a_step("failed", message="Fix it.")}, ["a", "b", "c"])
    assert (found.rows_read, found.rows_written, found.message) == (5, None, "c: Fix it.")


def test_steps_of_a_run_find_each_other_by_its_key():
    def whole(key):
        return StepwiseRun(key=key, kind=Kind.CONSOLIDATION, scope={}, steps=["a"])

    assert whole("x").run_id == whole("x").run_id != whole("y").run_id


def test_facts_of_steps_that_name_parts_of_the_same_are_all_kept():
    known = {"dag": "hour", "offsets": {"orders": [1]}}
    found = merged(known, {"offsets": {"customers": [2]}, "more": 3})
    assert found == {"dag": "hour", "offsets": {"orders": [1], "customers": [2]}, "more": 3}
    assert merged(known, {}) == known


@pytest.fixture
def screen(monkeypatch):
    """What `runs` writes on a terminal of so many columns."""

    def show(width, *rows):
        text = StringIO()
        console = Console(file=text, width=width, highlight=False)
        monkeypatch.setattr(cli, "console", console)
        monkeypatch.setattr(output, "console", console)
        if len(rows) == 1:
            cli.show_run(rows[0])
        else:
            cli.show_runs(rows, BEGAN + timedelta(minutes=5))
        return text.getvalue()

    return show


MANY = a_row(
    run_number=1234, kind=Kind.CONSOLIDATION, what="silver, gold, warehouse; 12,345 offsets",
    rows_read=1_234_567, rows_written=7_654_321, who="somebody@a-long-machine",
    message="Fix [it].", outcome=Outcome.INTERRUPTED, finished_at=None,
    scope={"offsets": {"orders": [{"first": 1000, "last": 2999, "epoch": 0, "partition": 1}]}},
    digest={"orders": {"before": "x", "after": "y"}},
    details={"tables": [{"table": "a", "read": 1}, {"table": "b", "merged": 2}], "verdict": "Ok."},
)  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
def test_runs_fit_the_terminal_and_nothing_of_them_is_interrupted(screen, width):
    shown = screen(width, MANY, a_row(outcome=Outcome.RUNNING))
    assert max(map(len, shown.splitlines())) <= width
    words = " ".join(shown.split())
    for word in ("1234", "consolidation", "12,345", "1,234,567", "7,654,321", "interrupted",
                 "somebody@a-long-machine", "5.0", "5 min"):  # fmt: skip
        assert word in words


def test_one_run_is_shown_with_everything_that_is_known_of_it(screen):
    shown = screen(80, MANY)
    assert "orders      0          1  1,000  2,999" in shown
    for word in (str(MANY.run_id), "Fix [it].", '"before": "x"', "Ok.", "merged", "7,654,321"):
        assert word in shown


def test_steps_of_a_run_are_shown_with_what_each_has_done(screen):
    step = a_step("failed", message="Fix it.", seconds=1.5, started_at="x", checks=[{"check": "c"}])
    shown = screen(120, a_row(details={"steps": {"gold": step}}))
    for word in ("gold", "failed", "1.5", "Fix it.", "gold: checks", "check"):
        assert word in shown
