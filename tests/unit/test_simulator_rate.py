"""The rate is held, missed time is dropped and counted, and the throttle slows smoothly."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.rate_limiter import RateLimiter
from producers.throttle import speed

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def pace(asked=10.0):
    return RateLimiter(asked=asked, moment=0.0, now=NOON)


def test_as_many_moments_pass_as_orders_are_asked_for():
    assert pace(300).clock.moment(NOON + 60 * SECOND) == pytest.approx(300 * 60)


def test_a_second_behind_is_made_up_for():
    late = pace()
    assert not late.drop_backlog(5.0, NOON + 1.4 * SECOND)
    assert late.clock.moment(NOON + 2 * SECOND) == pytest.approx(20)
    assert late.dropped_seconds == 0


def test_more_than_a_second_behind_is_dropped_and_counted():
    late = pace()
    assert late.drop_backlog(5.0, NOON + 60 * SECOND)
    assert late.dropped_seconds == pytest.approx(59.5)
    assert late.clock.moment(NOON + 61 * SECOND) == pytest.approx(15)


def test_slower_from_the_moment_reached_on():
    slow = pace()
    slow.set_speed(0.5, 20.0, NOON + 2 * SECOND)
    assert slow.clock.moment(NOON + 4 * SECOND) == pytest.approx(30)


def test_a_pause_of_the_throttle_is_no_backlog():
    paused = pace()
    paused.set_speed(0.0, 20.0, NOON + 2 * SECOND)
    assert paused.is_stopped
    paused.set_speed(1.0, 20.0, NOON + 600 * SECOND)
    assert not paused.is_stopped
    assert not paused.drop_backlog(20.5, NOON + 600 * SECOND)
    assert paused.clock.moment(NOON + 601 * SECOND) == pytest.approx(30)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.001, 30), st.floats(0, 1))))
def test_whatever_the_throttle_does_a_later_moment_is_no_earlier_instant(changes):
    """A change: the new speed, the seconds that pass before, the share done of what is due."""
    under_test, now, reached = pace(), NOON, 0.0
    last = under_test.clock.instant(reached)
    for new_speed, seconds, done in changes:
        now += seconds * SECOND
        if not under_test.is_stopped:
            reached += done * (under_test.clock.moment(now) - reached)
        last = max(last, under_test.clock.instant(reached))
        under_test.set_speed(new_speed, reached, now)
        # A microsecond, which is what instants are counted in.
        assert under_test.clock.instant(reached + 1e-6) >= last - timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("share", "expected"), [(0, 1), (0.5, 1), (0.625, 0.5), (0.75, 0), (1, 0), (3, 0)]
)
def test_the_throttle_sets_in_at_the_budget_and_stops_halfway_to_the_end(share, expected):
    assert speed(share, 0.5) == pytest.approx(expected)


@given(st.floats(0, 2), st.floats(0, 2), st.floats(0.01, 1))
def test_the_more_the_slot_holds_back_the_slower(one, other, budget):
    less, more = sorted((one, other))
    assert 0 <= speed(more, budget) <= speed(less, budget) <= 1


def test_a_budget_of_all_never_brakes():
    assert speed(0.99, 1.0) == 1
