"""Clocks turn the shop's moments into instants, in order; popularity has a long tail."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.simulate import live_rate
from producers.demand import (
    HistoryClock,
    LiveClock,
    Popularity,
    demand,
    long_tail_position,
    product_weight,
)
from producers.filling import sale_before
from producers.plan import ORDERS_A_DAY

PARIS = ZoneInfo("Europe/Paris")
STARTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(
    STARTS, st.floats(0.01, 40), st.integers(1, 100_000),
    st.lists(st.floats(0, 1), min_size=2), st.none() | st.floats(-0.1, 1.1),
)  # fmt: skip
def test_a_later_moment_of_the_past_is_never_an_earlier_instant(start, days, orders, parts, sale):
    stop = start + timedelta(days=days)
    on_sale = None if sale is None else start + timedelta(days=sale * days)
    clock = HistoryClock(start=start, stop=stop, orders=orders, zone=PARIS, sale=on_sale)
    instants = [clock.instant(part * orders * 1.1) for part in sorted(parts)]
    assert instants == sorted(instants)
    assert all(start <= instant <= stop for instant in instants)


@given(STARTS, st.floats(0.01, 10_000), st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_live_clock_tells_the_moment_of_an_instant_it_gave(start, rate, moment, later):
    clock = LiveClock(start=start, moment=moment, rate=rate)
    instant = clock.instant(moment + min(later, 1e8 * rate))
    microseconds = 1e-6 * rate + 1e-9 * (moment + later)
    assert abs(clock.moment(instant) - moment - min(later, 1e8 * rate)) <= microseconds


def test_days_with_a_change_of_the_clock_keep_their_hours():
    """25 October 2026 has 25 hours in Paris; the evening is still the busiest time."""
    start = datetime(2026, 10, 25, tzinfo=PARIS)
    stop = datetime(2026, 10, 26, tzinfo=PARIS)
    clock = HistoryClock(start=start, stop=stop, orders=5_000, zone=PARIS)
    hours = Counter(clock.instant(n + 0.5).astimezone(PARIS).hour for n in range(5_000))
    assert hours.most_common(1)[0][0] == 20
    assert set(hours) == set(range(24))


@pytest.mark.parametrize("hour", range(0, 24, 3))
@pytest.mark.parametrize("waits_minutes", [2, 5, 15])
def test_minutes_of_live_orders_after_a_history_resemble_the_day_before(hour, waits_minutes):
    """Also just after midnight, where neither day has anything else."""
    stop = datetime(2026, 11, 24, hour, 1, tzinfo=PARIS)
    orders, start = 5 * ORDERS_A_DAY, stop - timedelta(days=5)
    clock = HistoryClock(
        start=start, stop=stop, orders=orders, zone=PARIS, sale=sale_before(stop, PARIS)
    )
    placed = [clock.instant(number + 0.5) for number in range(orders)]
    midnight = datetime(2026, 11, 24, tzinfo=PARIS)
    today, days = sum(at >= midnight for at in placed), timedelta(days=1)
    for minutes in (5, 10):
        now = stop + timedelta(minutes=waits_minutes + minutes)
        yesterday = sum(midnight - days <= at <= now - days for at in placed)
        live = minutes * 60 * live_rate(None, is_after_history=True)
        assert -0.6 < (today + live) / yesterday - 1 < 1.5


def test_demand_is_that_of_the_shops_own_time_zone():
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert demand(noon, ZoneInfo("UTC")) != demand(noon, ZoneInfo("Asia/Tokyo"))


def test_weights_decide_how_often_something_is_picked():
    popularity, random = Popularity([1.0, 0.0, 3.0]), Random(1)
    picked = Counter(popularity.pick(random) for _ in range(4_000))
    assert picked[1] == 0
    assert 2.5 < picked[2] / picked[0] < 3.5


@given(st.integers(0, 10**6))
def test_products_made_one_after_the_other_are_all_of_different_popularity(first):
    weights = {product_weight(product_id) for product_id in range(first, first + 613)}
    assert len(weights) == 613
    assert max(weights) == 1.0


def test_the_first_tenth_is_picked_a_third_of_the_time():
    random = Random(2)
    picks = [long_tail_position(random, 1_000) for _ in range(10_000)]
    assert 0.28 < sum(pick < 100 for pick in picks) / len(picks) < 0.35
    assert max(picks) < 1_000
