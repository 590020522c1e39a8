"""What the options of `simulate` mean, which are refused, and what is counted."""

from collections import Counter

import pytest

from cli.simulate import _history, _live
from lakehouse.errors import StopPipelineError
from producers.meter import Meter
from producers.plan import History, Live, Plan
from producers.statements import LEDGER


def live(rate=None, minutes=None, orders=None, *, is_after_history=False):
    return _live(rate, minutes, orders, is_after_history=is_after_history)


def test_without_options_it_sells_for_ever_at_twenty_orders_a_second():
    assert _history(None, None) is None
    assert live() == Live(orders_per_second=20, minutes=None, orders=None)


def test_a_history_alone_stops_at_the_present():
    assert live(is_after_history=True) is None


def test_a_history_with_orders_spreads_them_over_its_days_and_stops():
    assert _history(30, 5_000) == History(days=30, orders=5_000)
    assert live(orders=5_000, is_after_history=True) is None


@pytest.mark.parametrize(("rate", "minutes"), [(50, None), (None, 2), (50, 2)])
def test_a_history_with_a_rate_or_minutes_continues_live(rate, minutes):
    found = live(rate, minutes, 5_000, is_after_history=True)
    assert found == Live(orders_per_second=rate or 1, minutes=minutes, orders=None)


def test_minutes_and_orders_are_one_too_many():
    with pytest.raises(StopPipelineError, match="--minutes and --orders"):
        live(minutes=1, orders=10)


@pytest.mark.parametrize(
    ("option", "plan"),
    [
        ("--dirt is 101", {"dirt_percent": 101}),
        ("--dirt is -1", {"dirt_percent": -1}),
        ("--history is 0", {"history": History(days=0)}),
        ("--orders is -5", {"history": History(days=1, orders=-5)}),
        ("--orders-per-second is 0", {"live": Live(orders_per_second=0)}),
        ("--minutes is -1", {"live": Live(orders_per_second=1, minutes=-1)}),
        ("--minutes is nan", {"live": Live(orders_per_second=1, minutes=float("nan"))}),
        ("--history is inf", {"history": History(days=float("inf"))}),
        ("--orders is 0", {"live": Live(orders_per_second=1, orders=0)}),
    ],
)
def test_a_number_without_sense_is_refused_by_the_name_of_its_option(option, plan):
    with pytest.raises(StopPipelineError, match=option):
        Plan(seed=1, **plan)


def test_rows_of_the_ledger_are_not_rows_of_the_shop():
    meter = Meter()
    meter.add(Counter({("orders", "inserted"): 2, ("orders", "updated"): 3}))
    meter.add(Counter({("orders", "inserted"): 1, (LEDGER, "inserted"): 4}))
    counts = meter.counts()
    assert (counts.orders, counts.rows, counts.dirty_values, counts.transactions) == (3, 6, 4, 2)
    orders = next(count for count in counts.tables if count.table == "orders")
    assert (orders.inserted, orders.updated, orders.deleted) == (3, 3, 0)


def test_detached_orders_and_updated_ones_add_up():
    meter = Meter()
    meter.add(Counter({("orders", "updated"): 2}))
    meter.add(Counter({("orders", "updated"): 1, ("customers", "deleted"): 1}))
    assert meter.rows == 4
