"""When a connector that has failed is started again."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.rest import ConnectorState
from connectors.restarts import LONGEST_SECONDS, Restarts

FIRST = 10.0
RUNNING = ConnectorState(connector="RUNNING", task="RUNNING", trace=None)
FAILED = ConnectorState(connector="RUNNING", task="FAILED", trace="org.x.Away: Kafka is away")
STOPPED = ConnectorState(connector="STOPPED", task=None, trace=None)
LOST = ConnectorState(
    connector="RUNNING", task="FAILED", trace="position 0/1 is no longer available on the server"
)


def starts(*seen):
    """When it is started, of (second, state) pairs."""
    restarts = Restarts(FIRST)
    return [at for at, state in seen if restarts.is_due(state, at)]


def lasting(state, first, last):
    return [(float(at), state) for at in range(first, last)]


def test_what_stays_failed_is_started_later_each_time_and_for_ever():
    found = starts(*lasting(FAILED, 0, 2000))
    assert found[:7] == [10, 30, 70, 150, 310, 610, 910]
    assert found[-1] >= 2000 - LONGEST_SECONDS


def test_what_runs_is_left_alone_and_its_next_failure_waits_as_the_first_did():
    failed, ran = lasting(FAILED, 0, 40), lasting(RUNNING, 40, 341)
    assert starts(*failed, *ran, *lasting(FAILED, 341, 360)) == [10, 30, 351]


def test_short_run_between_two_failures_does_not_make_the_pause_short_again():
    failed, ran = lasting(FAILED, 0, 40), lasting(RUNNING, 40, 50)
    assert starts(*failed, *ran, *lasting(FAILED, 50, 100)) == [10, 30, 90]


@pytest.mark.parametrize("state", [RUNNING, STOPPED, LOST, None])
def test_what_is_not_for_us_to_start_is_not_started(state):
    assert starts(*lasting(state, 0, 2000)) == []


@given(
    st.lists(
        st.tuples(st.floats(0.1, 400), st.sampled_from([RUNNING, FAILED, STOPPED, LOST, None])),
        max_size=200,
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
