"""The forecast in the warehouse: which days it reads, and what it publishes."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from batch.forecast.revenue import DAYS, FEWEST_DAYS, MOST_DAYS
from batch.forecast.store import published, read_revenue, train_and_publish
from batch.runs import Kind, Run, recorded
from lakehouse.errors import StopPipelineError
from tests.warehouse import MemorySilver, load_warehouse

pytestmark = pytest.mark.integration
ALL = {"layers": ["silver", "gold", "warehouse"], "entities": []}


def today():
    """The business day now: the shop of `warehouse` keeps UTC."""
    return datetime.now(UTC).date()


def sales(**cents_by_days_ago):
    """Orders of one line, at noon of a day, by `d<days ago>`."""
    orders, lines = [], []
    for number, (name, cents) in enumerate(cents_by_days_ago.items(), start=1):
        day = today() - timedelta(days=int(name[1:]))
        at = datetime(day.year, day.month, day.day, 11, tzinfo=UTC)
        free = dict.fromkeys(("discount_cents", "shipping_cents", "tax_cents"), 0)
        total = {"subtotal_cents": cents, "base_total_cents": cents}
        orders.append({"order_id": number, "placed_at": at, **total, **free})
        lines.append({"order_line_id": number, "order_id": number, "line_total_cents": cents})
    return {"orders": orders, "order_lines": lines}


def loaded(warehouse, **rows):
    silver = MemorySilver()
    silver.commit(**rows)
    with recorded(warehouse.dsn, kind=Kind.CONSOLIDATION, scope=ALL):
        load_warehouse(warehouse.dsn, silver)


def daily(days, cents=lambda n: 10_000 + 1_000 * (n % 7)):
    """The days before today, as many as that; and today, which is not complete."""
    return sales(**{f"d{n}": cents(n) for n in range(days + 1)})


def read(warehouse):
    with psycopg.connect(warehouse.dsn) as connection:
        return read_revenue(connection)


def test_days_read_are_complete_in_a_row_and_begin_after_the_first(warehouse):
    assert read(warehouse) is None
    loaded(warehouse, **sales(d9=77, d6=600, d4=400, d1=100, d0=55))
    found = read(warehouse)
    assert found.last_date == today() - timedelta(days=1)
    assert list(found.cents) == [0, 0, 600, 0, 400, 0, 0, 100]


def test_day_after_the_last_whole_load_is_not_complete(warehouse):
    """The mart may know orders of it, but not all."""
    loaded(warehouse, **sales(d9=77, d4=400, d1=100))
    warehouse.execute("update etl.runs set started_at = started_at - interval '3 days'")
    found = read(warehouse)
    assert (found.last_date, list(found.cents)) == (today() - timedelta(days=4), [0, 0, 0, 0, 400])


def test_shop_without_an_order_has_no_days(warehouse):
    loaded(warehouse)
    assert read(warehouse) is None


def test_no_more_than_two_years_are_read(warehouse):
    loaded(warehouse, **sales(d1500=1, d1=100))
    assert len(read(warehouse).cents) == MOST_DAYS


def test_forecast_and_its_test_are_published_for_charts(warehouse):
    loaded(warehouse, **daily(FEWEST_DAYS + 1))
    run = Run()
    details = train_and_publish(warehouse.dsn, run)
    assert details == run.noted.details
    assert details["trained_until"] == str(today() - timedelta(days=1))
    assert "is published" in details["verdict"]
    assert (run.noted.rows_read, run.noted.rows_written) == (FEWEST_DAYS, DAYS)
    days, quality = published(warehouse.reader_dsn)
    assert [day.forecast_date for day in days] == [today() + timedelta(days=n) for n in range(DAYS)]
    # The weekdays repeat without noise, so that both methods know them.
    assert [day.net_revenue_cents for day in days] == [
        pytest.approx(10_000 + 1_000 * (-n % 7), rel=0.01) for n in range(DAYS)
    ]
    assert {row["method"] for row in quality} == {"exponential_smoothing", "same_weekday"}
    assert sum(row["is_published"] for row in quality) == 1
    seen = warehouse.query(
        "select count(*), count(net_revenue_cents), count(forecast_cents), min(outlook_date) "
        "from mart.revenue_outlook"
    )
    assert seen == [(28 + DAYS, 28, DAYS, today() - timedelta(days=28))]


def test_same_mart_gives_the_same_forecast_and_one_row_of_quality(warehouse):
    loaded(warehouse, **daily(FEWEST_DAYS + 8, lambda n: 9_000 + n * n * 37 % 5_000))
    first, again = (
        (train_and_publish(warehouse.dsn, Run()), published(warehouse.reader_dsn)) for _ in range(2)
    )
    assert first == again
    assert warehouse.query("select count(*) from mart.revenue_forecast_quality") == [(2,)]


def test_too_few_days_take_the_forecast_away_and_say_so(warehouse):
    loaded(warehouse, **daily(FEWEST_DAYS + 1))
    train_and_publish(warehouse.dsn, Run())
    warehouse.execute("update etl.runs set started_at = started_at - interval '1 day'")
    details = train_and_publish(warehouse.dsn, Run())
    assert details["verdict"] == (
        "Nothing is forecast: the mart has 41 complete days, 42 are needed, of which 14 are to "
        "test on."
    )
    assert warehouse.query("select count(*) from mart.revenue_outlook") == [(0,)]
    with pytest.raises(StopPipelineError, match="Nothing is forecast yet"):
        published(warehouse.reader_dsn)
