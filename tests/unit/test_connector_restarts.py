"""When a connector that has failed is started again."""

from itertools import pairwise
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import restarts as under_test
from connectors.rest import ConnectorState, Stored
from connectors.restarts import FIRST_SNAPSHOTS, LONGEST_SECONDS, Restarts, keep_running
from lakehouse.errors import RetryLaterError
from lakehouse.settings import ConnectSettings

FIRST = 10.0
AWAY = "org.x.Away: Kafka is away"
RUNNING = ConnectorState(connector="RUNNING", task="RUNNING", trace=None)
FAILED = ConnectorState(connector="RUNNING", task="FAILED", trace=AWAY)
NOT_OURS = {
    "running": RUNNING,
    "absent": None,
    "stopped": ConnectorState(connector="STOPPED", task=None, trace=None),
    "stopped, its task not yet": ConnectorState(connector="STOPPED", task="FAILED", trace=AWAY),
    "paused": ConnectorState(connector="PAUSED", task="FAILED", trace=AWAY),
    **{
        what: ConnectorState(connector="RUNNING", task="FAILED", trace=trace)
        for what, trace in {
            "lost": "position 0/1 is no longer available on the server",
            "removed": "has been removed from the database write-ahead log",
            # With it made again, the stream would continue behind what was committed without it.
            "not published": "org.x: Publication autocreation is disabled, and there is none",
            "refused": "FATAL: password authentication failed for user debezium",
            "too large": "RecordTooLargeException: The message is 9 bytes",
        }.items()
    },
}


def starts(*seen):
    """When it is started, of (second, state) pairs."""
    restarts, found = Restarts(FIRST), []
    for at, state in seen:
        restarts.note(state, at)
        if restarts.is_due(at):
            restarts.started(at)
            found.append(at)
    return found


def lasting(state, first, last):
    return [(float(at), state) for at in range(first, last)]


def test_what_stays_failed_is_started_later_each_time_and_for_ever():
    found = starts(*lasting(FAILED, 0, 2000))
    assert found[:7] == [10, 30, 70, 150, 310, 610, 910]
    assert found[-1] >= 2000 - LONGEST_SECONDS


def test_what_runs_is_left_alone_and_its_next_failure_waits_as_the_first_did():
    failed, ran = lasting(FAILED, 0, 40), lasting(RUNNING, 40, 341)
    assert starts(*failed, *ran, *lasting(FAILED, 341, 360)) == [10, 30, 351]


@pytest.mark.parametrize(
    "between",
    [lasting(RUNNING, 40, 50), [(40.0, RUNNING), (45.0, None), (399.0, RUNNING)]],
    ids=["short", "not seen"],
)
def test_run_that_was_not_seen_to_last_does_not_make_the_pause_short_again(between):
    at = int(between[-1][0]) + 1
    found = starts(*lasting(FAILED, 0, 40), *between, *lasting(FAILED, at, at + 50))
    assert found == [10, 30, at + 40]


def test_what_is_put_off_is_looked_at_again_only_after_a_pause():
    restarts = Restarts(FIRST)
    restarts.note(FAILED, 0)
    assert restarts.is_due(10)
    restarts.put_off(10)
    restarts.note(FAILED, 11)
    assert not restarts.is_due(19)
    assert restarts.is_due(20)
    assert restarts.starts == 0


@pytest.mark.parametrize("state", NOT_OURS.values(), ids=NOT_OURS)
def test_what_is_not_for_us_to_start_is_not_started(state):
    assert starts(*lasting(state, 0, 2000)) == []


@given(
    st.lists(
        st.tuples(st.floats(0.1, 400), st.sampled_from([FAILED, *NOT_OURS.values()])), max_size=200
    )
)
def test_starts_are_of_failures_and_never_closer_than_the_first_pause(steps):
    at, seen = 0.0, []
    for seconds, state in steps:
        at += seconds
        seen.append((at, state))
    found = starts(*seen)
    states = dict(seen)
    assert all(states[moment] == FAILED for moment in found)
    assert all(later - sooner >= FIRST for sooner, later in pairwise(found))


class Connect:
    """A Connect whose connector stays failed, whatever is done, and that answers now and then."""

    def __init__(self, stop, *, is_first_snapshot):
        self.stop, self.is_first_snapshot = stop, is_first_snapshot
        self.looks = self.started = 0

    def __call__(self, *_):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def state(self):
        self.looks += 1
        if self.looks > 300:
            self.stop.set()
        if self.looks % 50 == 0:
            message = "Kafka Connect is busy (409). Try again."
            raise RetryLaterError(message)
        return FAILED

    def stored(self):
        return Stored(
            position=None,
            is_first_snapshot=self.is_first_snapshot,
            handed_on_at=None,
            extraction_id=None,
        )

    def restart_failed(self):
        self.started += 1


@pytest.mark.parametrize("is_first_snapshot", [True, False])
def test_first_snapshot_of_all_tables_is_not_begun_again_for_ever(monkeypatch, is_first_snapshot):
    stop = Event()
    connect = Connect(stop, is_first_snapshot=is_first_snapshot)
    monkeypatch.setattr(under_test.ConnectApi, "of", connect)
    monkeypatch.setattr(under_test, "LONGEST_SECONDS", 0.0)
    monkeypatch.setattr(under_test, "_ASK_SECONDS", 0.0)
    keep_running(ConnectSettings(), stop)
    assert connect.started == FIRST_SNAPSHOTS if is_first_snapshot else connect.started > 100
