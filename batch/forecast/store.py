"""Reads complete days from the mart; writes a forecast and its test, in one transaction."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, LiteralString

import psycopg
from psycopg.rows import class_row, dict_row

from batch.forecast.revenue import DAYS, FEWEST_DAYS, MOST_DAYS, Day, Forecast, Revenue, forecast
from batch.runs import Run
from batch.warehouse.locks import WAIT_SECONDS
from batch.warehouse.session import loading
from lakehouse.errors import StopPipelineError
from lakehouse.postgres import explaining
from lakehouse.trouble import Service

# A day is complete if all that had landed by its end is in the mart. The first day with an order
# is left out: the shop may have opened in the middle of it.
_READ: LiteralString = """
with known as (
    select
        (f.as_of_at at time zone s.time_zone)::date - 1 as last_date,
        (select min(d.date_key) from mart.daily_orders as d) + 1 as first_date
    from mart.freshness as f
    cross join etl.shop as s
)

select
    k.last_date,
    coalesce(sum(d.net_revenue_cents), 0)::bigint as net_revenue_cents
from known as k
cross join lateral generate_series(
    greatest(k.first_date, k.last_date - %(most_days)s + 1)::timestamp,
    k.last_date::timestamp,
    interval '1 day'
) as g (day)
left join mart.daily_orders as d on g.day::date = d.date_key
-- A shop without an order has no first day.
where k.first_date is not null
group by k.last_date, g.day
order by g.day"""
_INSERT_DAY: LiteralString = """
insert into etl.revenue_forecast (
    forecast_date, net_revenue_cents, low_80_cents, high_80_cents, low_95_cents, high_95_cents,
    method, trained_until_date
)
values (
    %(forecast_date)s, %(net_revenue_cents)s, %(low_80_cents)s, %(high_80_cents)s,
    %(low_95_cents)s, %(high_95_cents)s, %(method)s, %(trained_until_date)s
)"""
_INSERT_TESTED: LiteralString = """
insert into etl.revenue_forecast_quality (
    trained_until_date, method, is_published, tested_days, error_cents, revenue_cents,
    within_80_days, within_95_days
)
values (
    %(trained_until_date)s, %(method)s, %(is_published)s, %(tested_days)s, %(error_cents)s,
    %(revenue_cents)s, %(within_80_days)s, %(within_95_days)s
)"""

_DAYS: LiteralString = """
select
    f.forecast_date, f.net_revenue_cents, f.low_80_cents, f.high_80_cents, f.low_95_cents,
    f.high_95_cents
from mart.revenue_forecast as f
order by f.forecast_date"""
_QUALITY: LiteralString = """
select
    q.trained_until_date, q.method, q.is_published, q.tested_days, q.error_cents,
    q.revenue_cents, q.error_basis_points, q.within_80_days, q.within_95_days
from mart.revenue_forecast_quality as q
where q.is_latest
order by q.method"""


def train_and_publish(
    dsn: str, run: Run, *, on_progress: Callable[[str], None] = lambda _what: None
) -> dict[str, Any]:
    """Forecast from the mart and publish; with too few complete days, publish that there is none.

    Args:
        dsn: connection to the migrated warehouse as its role `batch`.
        run: the run's record.
        on_progress: called with the next step.

    Returns:
        What was added to the record: verdict, and quality of both methods.

    Raises:
        RetryLaterError: the warehouse does not answer, or a load is running (`BusyError`).
    """
    on_progress("reading the mart")
    with explaining(Service.WAREHOUSE, "Nothing was forecast"), psycopg.connect(dsn) as connection:
        revenue = read_revenue(connection)
    days = 0 if revenue is None else len(revenue.cents)
    on_progress(f"learning from {days} days")
    made = None if revenue is None else forecast(revenue)
    publish(dsn, made, on_progress=on_progress)
    details = _too_few(days) if made is None else told(made)
    run.note(rows_read=days, rows_written=0 if made is None else DAYS, details=details)
    return details


def read_revenue(connection: psycopg.Connection) -> Revenue | None:
    """Return net revenue of the mart's complete days, the newest `MOST_DAYS`; None without one."""
    rows = connection.execute(_READ, {"most_days": MOST_DAYS}).fetchall()
    if not rows:
        return None
    return Revenue(last_date=rows[0][0], cents=[cents for _, cents in rows])


def publish(
    dsn: str, made: Forecast | None, *, on_progress: Callable[[str], None] = lambda _what: None
) -> None:
    """Replace the forecast, if only by none; tests of earlier ones stay.

    Raises:
        RetryLaterError: the warehouse does not answer, or a load is running (`BusyError`).
    """
    on_progress("loading the warehouse")
    with (
        loading(dsn, "the forecast", on_progress, WAIT_SECONDS) as connection,
        connection.transaction(),
        connection.cursor() as cursor,
    ):
        cursor.execute("delete from etl.revenue_forecast")
        if made is None:
            return
        of = {"trained_until_date": made.trained_until}
        days = [asdict(day) | of | {"method": made.method} for day in made.days]
        cursor.executemany(_INSERT_DAY, days)
        cursor.execute(
            "delete from etl.revenue_forecast_quality where trained_until_date = %s",
            [made.trained_until],
        )
        tested = [
            asdict(one) | of | {"is_published": one.method is made.method, "tested_days": DAYS}
            for one in made.tested
        ]
        cursor.executemany(_INSERT_TESTED, tested)


def _too_few(days: int) -> dict[str, Any]:
    verdict = (
        f"Nothing is forecast: the mart has {days} complete days, {FEWEST_DAYS} are needed, of "
        f"which {DAYS} are to test on."
    )
    return {"trained_until": None, "method": None, "verdict": verdict, "quality": []}


def told(made: Forecast) -> dict[str, Any]:
    """Return what a run's record says of a forecast."""
    return {
        "trained_until": made.trained_until.isoformat(),
        "method": str(made.method),
        "verdict": made.verdict,
        "quality": [
            {
                "method": str(one.method),
                "error": None if one.error is None else round(one.error, 4),
                "within_80_days": one.within_80_days,
                "within_95_days": one.within_95_days,
            }
            for one in made.tested
        ],
    }


def published(dsn: str) -> tuple[list[Day], list[dict[str, Any]]]:
    """Return the days of the published forecast, and the test of both methods.

    Args:
        dsn: connection as a role that may read the mart.

    Raises:
        StopPipelineError: none is published.
        RetryLaterError: the warehouse does not answer.
    """
    with (
        explaining(Service.WAREHOUSE, "The forecast cannot be read"),
        psycopg.connect(dsn) as connection,
    ):
        days = connection.cursor(row_factory=class_row(Day)).execute(_DAYS).fetchall()
        quality = connection.cursor(row_factory=dict_row).execute(_QUALITY).fetchall()
    if not days:
        problem = "Nothing is forecast yet"
        raise StopPipelineError(problem, "./pipeline forecast train does, or says why not.")
    return days, quality
