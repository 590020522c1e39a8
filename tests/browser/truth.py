"""What each chart should show, by SQL on the shop's own tables. `truth.sql` has the views."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stack.superset.labels import read_labels

LABELS = read_labels("en", "Europe/Paris")
SETUP = Path(__file__).with_name("truth.sql").read_text()

COUNTS = {
    "customers",
    "orders",
    "orders_last_hour",
    "orders_with_it",
    "sessions",
    "units",
    "units_returned",
    "views",
    "on_hand_units",
}
RATIOS = {
    "average_lifetime_value",
    "before_change",
    "failed_share",
    "forecast_error",
    "leaving_share",
    "revenue_per_order",
    "target_share",
    "average_order_value",
    "conversion",
    "coverage",
    "left_out_share",
    "margin_share",
    "money_share",
    "ndcg",
    "novelty",
    "orders_per_second",
    "orders_per_view",
    "recall",
    "refund_share",
    "repeat_share",
    "retention",
    "revenue_change",
}


Figures = dict[tuple, dict[str, float | None]]
"""By key."""

LINES = "lines"
"""The column of a truth that says how many order lines its row adds up."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The rows of a chart by hand: columns `keys` name a row, all others are its metrics.

    The money of a row may be a cent off for each of its `lines`, since the shop's SQL does not
    round shares to the cent; without that column it is exact. `pivot` is the key whose values a
    chart of series has as columns.
    """

    sql: str
    keys: Sequence[str] = ()
    pivot: str | None = None
    totals: Sequence[str] = ()
    """Where the shop cannot say the rows: metrics of which it can say the totals."""
    is_of_loads: bool = False
    """What the shop cannot know: the SQL is on what the warehouse keeps of itself, `etl`."""

    def told(self, columns: Sequence[str], rows: Sequence[Sequence]) -> Figures:
        """Figures as the shop says them."""
        found = {}
        for row in rows:
            metrics = dict(zip(columns, row, strict=True))
            key = tuple(_labelled(name, metrics.pop(name)) for name in self.keys)
            found[key] = {n: None if v is None else float(v) for n, v in metrics.items()}
        return found

    def shown(self, metric: str, rows: Sequence[dict]) -> Figures:
        """Figures as Superset gave them to a chart."""
        if self.totals:
            return {(): {name: sum(row[name] for row in rows) for name in self.totals}}
        found = {}
        fixed = [name for name in self.keys if name != self.pivot]
        for row in rows:
            values = dict(row)
            key = tuple(_plain(values.pop(name)) for name in fixed)
            if self.pivot is None:
                found.setdefault(key, {}).update(values)
            else:
                series = {name: v for name, v in values.items() if v is not None}
                found |= {(*key, name): {metric: v} for name, v in series.items()}
        return found


def assert_equal(chart: str, expected: Figures, seen: Figures) -> None:
    """The same keys, and the same metrics at each."""
    assert seen.keys() == expected.keys(), chart
    assert expected, f"{chart} has nothing to compare"
    for key, metrics in expected.items():
        lines = metrics.get(LINES) or 0
        for name in metrics.keys() - {LINES}:
            value = metrics[name]
            got = seen[key][name]
            where = f"{chart} {key} {name}: shown {got}, the shop says {value}"
            assert got == (None if value is None else _about(name, value, lines)), where


def _about(name: str, value: float, lines: float):
    if name in COUNTS:
        return pytest.approx(value, abs=1e-6)
    if name.endswith("_change"):
        # Near none, the cents of each line are a large part of it.
        return pytest.approx(value, rel=2e-3, abs=2e-6)
    if name in RATIOS:
        return pytest.approx(value, rel=2e-3, abs=1e-6)
    return pytest.approx(value, abs=0.01 * lines + 0.005)


def _labelled(column: str, value: object) -> object:
    return LABELS.values.get(column, {}).get(value, _plain(value))


def _plain(value: object) -> object:
    """Superset gives days and minutes as milliseconds."""
    if isinstance(value, int | float) and value > 1e11:
        moment = datetime.fromtimestamp(value / 1000, UTC)
        return f"{moment:%Y-%m-%d %H:%M}".removesuffix(" 00:00")
    return value


_TODAY = "(now() at time zone 'Europe/Paris')::date"
_STAGES = """
    select s.stage, sum(s.came) as sessions
    from truth.visits as v
    cross join lateral (
        values ('Viewed a product', is_visit::int), ('Added to the cart', has_cart::int),
            ('Reached the checkout', has_checkout::int), ('Bought', has_purchase::int)
    ) as s (stage, came)
    group by 1
"""
_CUSTOMERS = """
    with customer as (
        select
            customer_id, count(*) as orders, sum(base_total_amount - refund) as value
        from truth.orders
        where customer_id is not null
        group by 1
    )
    select {} from customer
"""

ANALYTICS: dict[str, Truth] = {
    "net_revenue": Truth(
        sql="select sum(net) as net_revenue, sum(lines) as lines from truth.orders"
    ),
    "orders": Truth(sql="select count(*) as orders from truth.orders"),
    "average_order_value": Truth(
        sql="select sum(base_total_amount) / count(*) as average_order_value from truth.orders"
    ),
    "margin_share": Truth(sql="select sum(net - cost) / sum(net) as margin_share from truth.lines"),
    "refund_share": Truth(
        sql="select sum(refund) / sum(base_total_amount) as refund_share from truth.orders"
    ),
    "units": Truth(sql="select sum(units) as units from truth.lines"),
    "revenue_by_period": Truth(
        sql="select day::text as date_key, channel, sum(net) as net_revenue, sum(lines) as lines"
        f" from truth.orders where day < {_TODAY} group by 1, 2",
        keys=("date_key", "channel"),
        pivot="channel",
    ),
    "revenue_by_category": Truth(
        sql="select category, sum(net) as net_revenue, count(*) as lines"
        " from truth.lines group by 1",
        keys=("category",),
    ),
    "income_by_month": Truth(
        sql="""
            select
                to_char(day, 'YYYY-MM') as month, sum(gross) as gross_revenue,
                sum(gross - net) as discount, sum(net) as net_revenue, sum(cost) as cost,
                sum(net - cost) as margin, sum(net - cost) / sum(net) as margin_share,
                sum(refund) as refund, count(*) as lines
            from truth.lines group by 1
        """,
        keys=("month",),
    ),
    "revenue_by_channel": Truth(
        sql="select channel, sum(net) as net_revenue, sum(lines) as lines"
        " from truth.orders group by 1",
        keys=("channel",),
    ),
    "top_products": Truth(
        sql="select product, sum(net) as net_revenue, count(*) as lines from truth.lines"
        " group by product_id, 1 order by 2 desc limit 15",
        keys=("product",),
    ),
    "returns": Truth(
        sql="select p.name || ' · ' || p.sku as product, replace(r.reason, '_', ' ') as reason,"
        " sum(r.quantity) as units_returned"
        " from public.returns as r inner join public.order_lines as l using (order_line_id)"
        " inner join public.products as p using (product_id) group by 1, 2",
        keys=("product", "reason"),
    ),
    "revenue_by_brand": Truth(
        sql="select category, brand, sum(net) as net_revenue, count(*) as lines"
        " from truth.lines group by 1, 2",
        keys=("category", "brand"),
    ),
    "product_performance": Truth(
        sql="""
            with sold as (
                select
                    product_id, sum(net) as net_revenue, sum(units) as units,
                    sum(refund) as refund, count(distinct order_id) as orders_with_it,
                    sum(net - cost) / nullif(sum(net), 0) as margin_share, count(*) as lines
                from truth.lines group by 1
            ),
            seen as (
                select
                    product_id, count(*) filter (where interaction_type = 'view') as views
                from public.interactions where product_id is not null group by 1
            )
            select
                p.name, p.sku, p.category, coalesce(s.net_revenue, 0) as net_revenue,
                coalesce(s.units, 0) as units, coalesce(v.views, 0) as views,
                coalesce(s.orders_with_it, 0) as orders_with_it,
                coalesce(s.orders_with_it, 0)::numeric / nullif(v.views, 0) as orders_per_view,
                s.margin_share, coalesce(s.refund, 0) as refund, s.lines
            from sold as s full join seen as v using (product_id)
            inner join public.products as p using (product_id)
        """,
        keys=("name", "sku", "category"),
    ),
    "customers": Truth(sql=_CUSTOMERS.format("count(*) as customers")),
    "repeat_share": Truth(sql=_CUSTOMERS.format("avg((orders > 1)::int) as repeat_share")),
    "average_lifetime_value": Truth(sql=_CUSTOMERS.format("avg(value) as average_lifetime_value")),
    "segments": Truth(sql=_CUSTOMERS.format("count(*) as customers"), totals=("customers",)),
    "segment_value": Truth(
        sql=_CUSTOMERS.format("count(*) as customers, sum(value) as lifetime_value"),
        totals=("customers", "lifetime_value"),
    ),
    "conversion": Truth(
        sql="select sum(has_purchase::int)::numeric / sum(is_visit::int) as conversion"
        " from truth.visits"
    ),
    "visit_funnel": Truth(sql=_STAGES, keys=("stage",)),
    "conversion_by_device": Truth(
        sql=f"""
            select
                day::text as date_key, device,
                sum(has_purchase::int)::numeric / sum(is_visit::int) as conversion
            from (
                select *, bool_or(is_visit) over (partition by day, device) as is_shown
                from truth.visits
            ) as v
            where is_shown and day < {_TODAY}
            group by 1, 2
        """,
        keys=("date_key", "device"),
        pivot="device",
    ),
    "cohort_retention": Truth(
        sql="""
            with active as (
                select distinct customer_id, date_trunc('month', day) as month from truth.orders
                where customer_id is not null
            ),
            cohort as (select *, min(month) over (partition by customer_id) as first from active)
            select
                to_char(first, 'YYYY-MM') as cohort,
                '+' || lpad((
                    extract(year from age(month, first)) * 12
                    + extract(month from age(month, first))
                )::int::text, 2, '0') as months_since_text,
                count(*)::numeric / max(count(*)) over (partition by first) as retention
            from cohort group by first, month
        """,
        keys=("cohort", "months_since_text"),
    ),
    "revenue_of_countries": Truth(
        sql="select ship_country, sum(net) as net_revenue, sum(lines) as lines"
        " from truth.orders group by 1",
        keys=("ship_country",),
    ),
    "countries": Truth(
        sql="""
            select
                ship_country, sum(net) as net_revenue, count(*) as orders,
                sum(base_total_amount) / count(*) as average_order_value, sum(refund) as refund,
                sum(lines) as lines
            from truth.orders group by 1
        """,
        keys=("ship_country",),
    ),
    "revenue_by_country": Truth(
        sql=f"""
            with best as (
                select ship_country from truth.orders group by 1 order by sum(net) desc limit 8
            )
            select
                day::text as date_key, ship_country,
                sum(net) as net_revenue, sum(lines) as lines
            from truth.orders inner join best using (ship_country)
            where day < {_TODAY} group by 1, 2
        """,
        keys=("date_key", "ship_country"),
        pivot="ship_country",
    ),
    "regions": Truth(
        sql="""
            select
                o.ship_country, o.ship_region, sum(o.net) as net_revenue, count(*) as orders,
                sum(l.units) as units, sum(o.lines) as lines,
                sum(o.base_total_amount) / count(*) as average_order_value
            from truth.orders as o
            inner join (
                select order_id, sum(units) as units from truth.lines group by 1
            ) as l on o.order_id = l.order_id
            group by 1, 2
        """,
        keys=("ship_country", "ship_region"),
    ),
}
"""By the name of a chart's file. Segments are gold's, so of these only what they add up to."""

_LEFT_OUT = """
    select
        sum((subtotal_amount - discount_amount) * exchange_rate) filter (
            where length(ship_region) > 400
        ) as out,
        sum((subtotal_amount - discount_amount) * exchange_rate) as revenue,
        sum((select count(*) from public.order_lines as l where l.order_id = o.order_id)) as lines
    from public.orders as o
    inner join truth.consolidated as c on o.order_id <= c.last_order_id
    where not (status = 'cancelled' and paid_at is null)
"""

ANALYTICS |= {
    "left_out": Truth(sql=f"select out as left_out from ({_LEFT_OUT}) as o"),
    "left_out_share": Truth(sql=f"select out / revenue as left_out_share from ({_LEFT_OUT}) as o"),
    "left_out_by_rule": Truth(
        sql=f"""
            select s.*, o.lines
            from ({_LEFT_OUT}) as o
            cross join lateral (
                values
                    ('in net revenue', '-', revenue - out, 1 - out / revenue, null),
                    ('orders', 'ship_region_too_long', out, out / revenue, 1)
            ) as s (entity, rule, money, money_share, row_count)
        """,
        keys=("entity", "rule"),
    ),
    "as_of": Truth(
        # In the shop's time, in milliseconds, as Superset gives it.
        sql="""
            select
                extract(epoch from date_trunc('minute', max(started_at))
                    at time zone 'Europe/Paris') * 1000 as as_of
            from etl.runs where kind = 'consolidation'
        """,
        is_of_loads=True,
    ),
    "runs_last_week": Truth(
        sql="select count(*) as runs_last_week from etl.runs", is_of_loads=True
    ),
    "failed_runs_last_week": Truth(
        sql="select count(*) as failed_runs_last_week from etl.runs where outcome = 'failed'",
        is_of_loads=True,
    ),
    "quarantined_changes": Truth(
        sql="select coalesce(sum(changes), 0) as quarantined_changes from etl.quarantine_by_rule",
        is_of_loads=True,
    ),
    "ranges_lost": Truth(
        sql="""
            select count(*) as ranges_lost
            from (
                select
                    kind,
                    lead(kind) over (
                        partition by topic_id, partition, first_offset order by recorded_at
                    ) as next_kind
                from etl.loss
            ) as l
            where kind <> 'read_again' and next_kind is distinct from 'read_again'
        """,
        is_of_loads=True,
    ),
    "runs_by_day": Truth(
        sql="""
            select
                (started_at at time zone 'Europe/Paris')::date::text as start_day,
                count(*) as runs, sum(extract(epoch from finished_at - started_at)) as run_seconds
            from etl.runs group by 1
        """,
        keys=("start_day",),
        is_of_loads=True,
    ),
    "runs": Truth(
        sql="""
            select
                run_number, kind, outcome, who, rows_read, rows_written,
                extract(epoch from finished_at - started_at) as seconds
            from etl.runs
        """,
        keys=("run_number", "kind", "outcome", "who"),
        is_of_loads=True,
    ),
    "quarantine_by_rule": Truth(
        sql="""
            select entity, rule, changes, keys from etl.quarantine_by_rule
            union all
            select 'no quarantined changes', '-', 0, 0
            where (select count(*) from etl.quarantine_by_rule) = 0
        """,
        keys=("entity", "rule"),
        is_of_loads=True,
    ),
    "unknown_values": Truth(
        sql="""
            select entity, column_name, value, row_count from etl.unknown_value
            union all
            select 'no unknown values', '-', '-', 0
            where (select count(*) from etl.unknown_value) = 0
        """,
        keys=("entity", "column_name", "value"),
        is_of_loads=True,
    ),
    "loss_ledger": Truth(
        sql="""
            select topic, kind, first_offset, last_offset from etl.loss
            where kind <> 'read_again'
            union all
            select 'nothing was lost', '-', null, null where (select count(*) from etl.loss) = 0
        """,
        keys=("topic", "kind"),
        is_of_loads=True,
    ),
    "freshness_by_layer": Truth(
        sql="""
            select
                layer, count(*) as tables,
                sum(behind_offsets) filter (
                    where table_name like 'cleaned%' or table_name like 'enriched%'
                ) as behind_offsets
            from etl.lake_table group by 1
            union all
            select 'warehouse', count(distinct entity), null from etl.watermark
            union all
            select 'live', count(distinct entity), null from live.watermark
        """,
        keys=("layer",),
        is_of_loads=True,
    ),
    "tables_reached": Truth(
        sql="""
            select layer, table_name, passed_offsets, behind_offsets from etl.lake_table
            union all
            select 'warehouse', entity, sum(last_offset + 1), null from etl.watermark group by
            entity union all select 'live', entity, sum(last_offset + 1), null from live.watermark
            group by entity
        """,
        keys=("layer", "table_name"),
        is_of_loads=True,
    ),
}

_CHANGES = f"""
    select
        product, sum(net) filter (where day >= {_TODAY} - 28) as net_revenue_of_period,
        sum(net) filter (where day < {_TODAY} - 28) as before, count(*) as lines
    from truth.lines
    where day between {_TODAY} - 56 and {_TODAY} - 1
    group by product_id, product
"""
_CHANGED = f"""
    select
        product, coalesce(net_revenue_of_period, 0) as net_revenue_of_period,
        coalesce(before, 0) as before, lines,
        coalesce(net_revenue_of_period, 0) - coalesce(before, 0) as change
    from ({_CHANGES}) as c
"""
_STOCK = """
    with moved as (
        select *, (occurred_at at time zone 'Europe/Paris')::date as day
        from public.stock_movements
    ),
    stock as (
        select
            product_id, warehouse_code, greatest(sum(quantity), 0) as on_hand,
            sum(quantity) as left_units, coalesce(
                -sum(quantity) filter (
                    where kind = 'sale' and day > (select max(day) from moved) - 28
                ), 0
            ) as sold
        from moved group by 1, 2
    ),
    supplied as (
        select
            s.*, p.name || ' · ' || p.sku as product, p.cost_amount, f.name as supplier,
            f.lead_time_days as lead_days, div(on_hand * 28, nullif(sold, 0)) as cover,
            ceil(round(sold::numeric / 28 * (f.lead_time_days + 28), 6) - on_hand) as units,
            p.is_active
        from stock as s
        inner join public.products as p on s.product_id = p.product_id
        inner join public.suppliers as f on p.supplier_id = f.supplier_id
    ),
    due as (select * from supplied where is_active and sold > 0 and cover < lead_days + 7)
"""
_LOST = f"""
    with window_ as (select {_TODAY} - 28 as first, {_TODAY} - 1 as last),
    moved as (
        select *, (occurred_at at time zone 'Europe/Paris')::date as day
        from public.stock_movements
    ),
    places as (
        select
            product_id, warehouse_code, min(day) as began,
            coalesce(sum(quantity) filter (where day < first), 0) as at_first
        from moved, window_ group by 1, 2
    ),
    sold as (
        select
            product_id, warehouse_code, p.began, p.at_first, -sum(m.quantity) as units
        from moved as m inner join places as p using (product_id, warehouse_code), window_
        where kind = 'sale' and day between first and last group by 1, 2, 3, 4
    ),
    days as (
        select
            s.product_id, s.warehouse_code, s.units, s.at_first, d.day::date as day,
            w.last - greatest(w.first, s.began) + 1.0 as days
        from sold as s, window_ as w
        cross join lateral generate_series(
            greatest(w.first, s.began), w.last, interval '1 day'
        ) as d (day)
    ),
    levels as (
        select
            d.product_id, d.warehouse_code, d.units, d.days, count(m.movement_id) as moves,
            d.at_first + sum(coalesce(sum(m.quantity), 0)) over (
                partition by d.product_id, d.warehouse_code order by d.day
            ) as level
        from days as d
        left join moved as m using (product_id, warehouse_code, day)
        group by d.product_id, d.warehouse_code, d.units, d.days, d.at_first, d.day
    ),
    empty as (
        select product_id, warehouse_code, units, days as all_days, count(*) as days
        from levels where moves = 0 and level <= 0 group by 1, 2, 3, 4
    ),
    lost as (
        select
            p.name || ' · ' || p.sku as product, e.warehouse_code, e.days as days_empty,
            e.units * e.days / (e.all_days - e.days) as lost_quantity,
            e.units * e.days / (e.all_days - e.days) * p.price_amount as lost_revenue
        from empty as e inner join public.products as p on e.product_id = p.product_id
    )
"""
_WAITING = """
    with recent as (select max(day) - 29 as first from truth.orders),
    placed as (
        select
            o.*, (
                select min(l.warehouse_code) from public.order_lines as l
                where l.order_id = o.order_id
            ) as warehouse_code
        from truth.orders as o
    ),
    steps as (
        select p.warehouse_code, s.*
        from placed as p
        cross join lateral (
            values
                (0, 'paid', extract(epoch from paid_at - placed_at)::float / 3600),
                (1, 'packed', extract(epoch from packed_at - paid_at)::float / 3600),
                (2, 'shipped', extract(epoch from shipped_at - packed_at)::float / 3600),
                (3, 'delivered', extract(epoch from delivered_at - shipped_at)::float / 3600)
        ) as s (step_number, step, hours)
        where p.day >= (select first from recent) and s.hours is not null
    ),
    times as (
        select
            step, warehouse_code, count(*) as orders,
            percentile_cont(0.5) within group (order by hours) as median_hours,
            percentile_cont(0.95) within group (order by hours) as p95_hours
        from steps group by 1, 2
    ),
    waiting as (
        select
            s.number || ' ' || s.step as step_name, s.step, p.warehouse_code,
            p.base_total_amount as worth, (
                s.since_at < c.consolidated_at - make_interval(secs => 3600 * t.p95_hours)
            )::int as is_late
        from placed as p
        cross join truth.consolidated as c
        inner join lateral (
            values
                ('placed', 1, 'paid', placed_at), ('paid', 2, 'packed', paid_at),
                ('packed', 3, 'shipped', packed_at), ('shipped', 4, 'delivered', shipped_at)
        ) as s (status, number, step, since_at) on p.status = s.status
        left join times as t on s.step = t.step and p.warehouse_code = t.warehouse_code
    )
"""
_RHYTHM = f"""
    with customer as (
        select
            customer_id, count(*) as orders, max(day) as last_day,
            (max(day) - min(day))::numeric / (count(*) - 1) as rhythm_days,
            {_TODAY} - max(day) as silent_days, sum(base_total_amount - refund) as value
        from truth.orders
        where customer_id is not null
        group by 1 having max(day) > min(day)
    )
"""

ANALYTICS |= {
    "compared_periods": Truth(
        sql=f"""
            with clock as (
                select
                    {_TODAY} - 1 as day,
                    date_trunc('month', {_TODAY} - interval '1 day')::date as m,
                    date_trunc('year', {_TODAY} - interval '1 day')::date as y
            ),
            periods as (
                select p.* from clock cross join lateral (
                    values
                        ('Yesterday', day, day, day - 7, day - 7),
                        ('Last 7 days', day - 6, day, day - 13, day - 7),
                        ('Last 28 days', day - 27, day, day - 55, day - 28),
                        (
                            'Month so far', m, day, (m - interval '1 month')::date,
                            least((m - interval '1 month')::date + (day - m), m - 1)
                        ),
                        ('Year so far', y, day, null, null)
                ) as p (period, first, last, before_first, before_last)
            ),
            sums as (
                select
                    p.period,
                    coalesce(sum(o.net) filter (where o.day between first and last), 0) as net,
                    count(*) filter (where o.day between first and last) as orders,
                    sum(o.net) filter (
                        where o.day between before_first and before_last
                            and before_first > (select min(day) from truth.orders)
                    ) as before,
                    sum(o.lines) as lines, (
                        select sum(30000.0 / extract(
                            day from date_trunc('month', d) + interval '1 month - 1 day'
                        ))
                        from generate_series(first::timestamp, last, interval '1 day') as d
                    ) as target
                from periods as p cross join truth.orders as o group by p.period, first, last
            )
            select
                period, net as net_revenue_of_period, orders as orders_of_period, before,
                net / before - 1 as before_change, null as last_year, null as last_year_change,
                target, net / target as target_share, lines
            from sums
        """,
        keys=("period",),
    ),
    "winners": Truth(sql=_CHANGED, keys=("product",)),
    "losers": Truth(sql=_CHANGED, keys=("product",)),
    "daily_hours": Truth(
        sql="""
            select
                to_char(day, 'ID Dy') as weekday,
                to_char(placed_at at time zone 'Europe/Paris', 'HH24') as hour_text,
                count(*) as orders_placed
            from truth.orders group by 1, 2
        """,
        keys=("weekday", "hour_text"),
    ),
    "stock_value": Truth(
        sql=f"{_STOCK} select sum(on_hand * cost_amount) as stock_value from supplied"
    ),
    "order_cost": Truth(sql=f"{_STOCK} select sum(units * cost_amount) as order_cost from due"),
    "reorder": Truth(
        sql=f"""
            {_STOCK}
            select
                supplier, product, warehouse_code, left_units, cover, lead_days,
                units as order_quantity, units * cost_amount as order_cost
            from due where units > 0
        """,
        keys=("supplier", "product", "warehouse_code"),
    ),
    "lost_revenue": Truth(sql=f"{_LOST} select sum(lost_revenue) as lost_revenue from lost"),
    "lost_sales": Truth(sql=f"{_LOST} select * from lost", keys=("product", "warehouse_code")),
    "waiting_orders": Truth(
        sql=f"{_WAITING}"
        " select count(*) as waiting from waiting where step in ('packed', 'shipped')"
    ),
    "late_orders": Truth(
        sql=f"{_WAITING}"
        " select sum(is_late) as late from waiting where step in ('packed', 'shipped')"
    ),
    "money_outstanding": Truth(
        sql=f"{_WAITING} select sum(worth) as money_outstanding from waiting where step = 'paid'"
    ),
    "waiting_by_warehouse": Truth(
        sql=f"""
            {_WAITING}
            select
                step_name, warehouse_code, count(*) as waiting, coalesce(sum(is_late), 0) as late,
                sum(worth) as worth
            from waiting group by 1, 2
        """,
        keys=("step_name", "warehouse_code"),
    ),
    "fulfilment_times": Truth(
        sql=f"{_WAITING} select * from times where step <> 'paid'",
        keys=("step", "warehouse_code"),
    ),
    "daily_payments": Truth(
        sql="""
            select
                replace(p.method, '_', ' ') as method_name,
                count(*) filter (where p.kind = 'payment') as attempts,
                count(*) filter (where p.kind = 'payment' and p.status = 'failed') as failed,
                avg((p.status = 'failed')::int) filter (where p.kind = 'payment') as failed_share,
                sum(round(p.amount * o.exchange_rate, 2)) filter (
                    where p.kind = 'payment' and p.status = 'captured'
                ) as paid,
                sum(round(p.amount * o.exchange_rate, 2)) filter (
                    where p.kind = 'refund' and p.status = 'captured'
                ) as paid_back
            from public.payments as p inner join public.orders as o on p.order_id = o.order_id
            group by 1
        """,
        keys=("method_name",),
    ),
    "lost_orders": Truth(
        sql="""
            with lost as (
                select
                    l.product_id, l.quantity as cancelled_quantity, 0 as returned_quantity,
                    l.line_total_amount * o.exchange_rate
                    * (1 - o.discount_amount / nullif(o.subtotal_amount, 0)) as cancelled,
                    0 as paid_back
                from public.order_lines as l
                inner join public.orders as o on l.order_id = o.order_id
                where o.status = 'cancelled'
                union all
                select l.product_id, 0, r.quantity, 0, 0
                from public.returns as r
                inner join public.order_lines as l on r.order_line_id = l.order_line_id
                union all
                select product_id, 0, 0, 0, refund from truth.lines where refund > 0
            )
            select
                p.name || ' · ' || p.sku as product, sum(cancelled_quantity) as cancelled_quantity,
                sum(cancelled) as cancelled, sum(returned_quantity) as returned_quantity,
                -- A refund is rounded before it is shared.
                sum(paid_back) as paid_back, 2 * count(*) as lines
            from lost inner join public.products as p using (product_id) group by 1
        """,
        keys=("product",),
    ),
    "daily_coupons": Truth(
        sql="""
            with line as (
                select order_id, sum(net - cost) as margin from truth.lines group by 1
            )
            select
                coalesce(o.coupon_code, 'none') as coupon, count(*) as orders,
                sum(o.net) as net_revenue, sum(o.net) / count(*) as revenue_per_order,
                sum(o.discount_amount * o.exchange_rate) as discount,
                sum(l.margin) / sum(o.net) as margin_share, sum(o.lines) as lines
            from truth.orders as o inner join line as l on o.order_id = l.order_id group by 1
        """,
        keys=("coupon",),
    ),
    "daily_referrers": Truth(
        sql="""
            with visit as (
                select
                    (occurred_at at time zone 'Europe/Paris')::date as day, session_id,
                    coalesce(referrer, 'direct') as site,
                    bool_or(interaction_type <> 'review')::int as is_visit,
                    bool_or(interaction_type = 'purchase')::int as has_purchase
                from public.interactions group by 1, 2, 3
            )
            select
                site, sum(is_visit) as sessions, sum(has_purchase) as bought,
                sum(has_purchase)::numeric / sum(is_visit) as conversion
            from visit group by 1 having sum(is_visit) > 0
        """,
        keys=("site",),
    ),
    "new_and_returning": Truth(
        sql="""
            with dated as (
                select
                    *, to_char(day, 'YYYY-MM') as month,
                    to_char(min(day) over (partition by customer_id), 'YYYY-MM') as first_month
                from truth.orders where customer_id is not null
            )
            select
                month, case when month = first_month then 'new' else 'returning' end as kind,
                sum(net) as revenue_of_month, sum(lines) as lines
            from dated group by 1, 2
        """,
        keys=("month", "kind"),
        pivot="kind",
    ),
    "leaving_customers": Truth(
        sql=f"{_RHYTHM}"
        " select count(*) as leaving from customer where silent_days > 2 * rhythm_days"
    ),
    "leaving_share": Truth(
        sql=f"{_RHYTHM}"
        " select avg((silent_days > 2 * rhythm_days)::int) as leaving_share from customer"
    ),
    "leaving_list": Truth(
        sql=f"{_RHYTHM} select customer_id, orders, rhythm_days, silent_days, value from customer"
        " where silent_days > 2 * rhythm_days order by value desc limit 100",
        keys=("customer_id",),
    ),
}

ANALYTICS |= {
    "revenue_outlook": Truth(
        sql="""
            select
                coalesce(d.date_key, f.forecast_date)::text as outlook_date,
                d.net_revenue_cents / 100.0 as net_revenue,
                f.net_revenue_cents / 100.0 as net_revenue__yhat,
                f.low_80_cents / 100.0 as net_revenue__yhat_lower,
                f.high_80_cents / 100.0 as net_revenue__yhat_upper
            from etl.revenue_forecast as f
            full join (
                select date_key, sum(net_revenue_cents) as net_revenue_cents
                from mart.fact_transactions
                where
                    counts
                    and date_key < (now() at time zone 'Europe/Paris')::date
                    and date_key >= (now() at time zone 'Europe/Paris')::date - 28
                group by 1
            ) as d on f.forecast_date = d.date_key
        """,
        keys=("outlook_date",),
        is_of_loads=True,
    ),
    "revenue_forecast_quality": Truth(
        sql="""
            select
                method || case when is_published then ', published' else '' end
                    as forecast_method,
                error_cents * 1.0 / revenue_cents as forecast_error,
                within_80_days as days_within_80, within_95_days as days_within_95
            from etl.revenue_forecast_quality
            where trained_until_date = (
                select max(trained_until_date) from etl.revenue_forecast_quality
            )
        """,
        keys=("forecast_method",),
        is_of_loads=True,
    ),
}

ANALYTICS |= {
    "recommendation_quality": Truth(
        sql="""
            select
                replace(kind, '_', ' ') as list_name,
                replace(model, '_', ' ')
                || case when is_published then ', published' else '' end as model_name,
                recall_basis_points / 10000.0 as recall, ndcg_basis_points / 10000.0 as ndcg,
                coverage_basis_points / 10000.0 as coverage, novelty_centibits / 100.0 as novelty,
                customers as tested_customers
            from etl.recommendation_quality
            where trained_until_at = (
                select max(trained_until_at) from etl.recommendation_quality
            )
        """,
        keys=("list_name", "model_name"),
        is_of_loads=True,
    ),
    "recommendation_quality_by_day": Truth(
        sql="""
            select
                (trained_until_at at time zone 'Europe/Paris')::date::text as trained_day,
                replace(kind || ', ' || model, '_', ' ') as published_model,
                max(recall_basis_points) / 10000.0 as recall
            from etl.recommendation_quality group by 1, 2
        """,
        keys=("trained_day", "published_model"),
        pivot="published_model",
        is_of_loads=True,
    ),
    "bought_together": Truth(
        # Names repeat: the sum over the rows that are shown.
        sql="""
            select coalesce(sum(orders_together), 0) as orders_together
            from (
                select max(orders_together) as orders_together
                from etl.similar_product
                where orders_together > 0
                group by
                    least(product_id, similar_product_id), greatest(product_id, similar_product_id)
                order by 1 desc limit 200
            ) as pair
        """,
        totals=("orders_together",),
        is_of_loads=True,
    ),
    "next_for_segment": Truth(
        sql="""
            select count(*) as listed_customers
            from etl.recommendation as r
            inner join entity.customers as c on r.customer_id = c.customer_id
            where r.rank <= 3
        """,
        totals=("listed_customers",),
        is_of_loads=True,
    ),
}

_HOUR = "placed_at >= now() - interval '1 hour'"
_NOW = "(now() at time zone 'Europe/Paris')"

LIVE: dict[str, Truth] = {
    "live_orders_per_second": Truth(
        sql="select count(*) / 30.0 as orders_per_second from truth.live_orders"
        " where placed_at >= now() - interval '30 seconds'"
    ),
    "live_orders_last_hour": Truth(
        sql=f"select count(*) as orders_last_hour from truth.live_orders where {_HOUR}"
    ),
    "live_revenue_last_hour": Truth(
        sql="select coalesce(sum(net), 0) as net_revenue_last_hour, sum(lines) as lines"
        " from truth.live_orders"
        f" where {_HOUR}"
    ),
    "live_revenue_today": Truth(
        sql="select coalesce(sum(net), 0) as net_revenue_today, sum(lines) as lines"
        f" from truth.live_orders where day = {_NOW}::date"
    ),
    "live_revenue_change": Truth(
        sql=f"""
            select
                sum(net) filter (where day = {_NOW}::date) / sum(net) filter (
                    where day = {_NOW}::date - 1
                    and placed_at at time zone 'Europe/Paris' <= {_NOW} - interval '1 day'
                ) - 1 as revenue_change
            from truth.live_orders
        """
    ),
    "live_minutes": Truth(
        # In the shop's time, in milliseconds, as Superset gives it.
        sql="""
            select
                extract(epoch from m.minute_at at time zone 'Europe/Paris')::bigint * 1000
                    as minute,
                coalesce(sum(o.net), 0) as net_revenue, count(o.order_id) as orders,
                sum(o.lines) as lines
            from generate_series(
                date_trunc('minute', now()) - interval '59 minutes', date_trunc('minute', now()),
                interval '1 minute'
            ) as m (minute_at)
            left join truth.live_orders as o on date_trunc('minute', o.placed_at) = m.minute_at
            group by 1
        """,
        keys=("minute",),
    ),
    "live_funnel": Truth(
        sql="""
            select s.stage_name, count(distinct i.session_id) as sessions
            from public.interactions as i
            cross join lateral (
                values ('Viewed a product', i.interaction_type <> 'review'),
                    ('Added to the cart', i.interaction_type in ('cart', 'checkout', 'purchase')),
                    ('Reached the checkout', i.interaction_type in ('checkout', 'purchase')),
                    ('Bought', i.interaction_type = 'purchase')
            ) as s (stage_name, came)
            where i.occurred_at >= now() - interval '1 hour' and s.came
            group by 1
        """,
        keys=("stage_name",),
    ),
    "live_latest_orders": Truth(
        sql="""
            select o.order_id, sum(l.quantity) as units, min(o.base_total_amount) as total
            from (
                select o.* from public.orders as o
                where exists (
                    select from public.order_lines as l where l.order_id = o.order_id
                )
                order by o.placed_at desc, o.order_id desc limit 20
            ) as o
            inner join public.order_lines as l on o.order_id = l.order_id
            group by 1
        """,
        keys=("order_id",),
    ),
    "live_top_products": Truth(
        sql=f"""
            select product, sum(net) as net_revenue, sum(units) as units, count(*) as lines
            from truth.live_lines where {_HOUR}
            group by product_id, 1 order by 2 desc limit 10
        """,
        keys=("product",),
    ),
    "live_stock": Truth(
        sql="""
            with moved as (
                select *, (occurred_at at time zone 'Europe/Paris')::date as day
                from public.stock_movements
            ),
            stock as (
                select
                    product_id, warehouse_code, sum(quantity) as on_hand_units,
                    -sum(quantity) filter (
                        where kind = 'sale' and day > (select max(day) from moved) - 28
                    ) as sold
                from moved group by 1, 2
            )
            select p.name || ' · ' || p.sku as product, s.warehouse_code, s.on_hand_units
            from stock as s inner join public.products as p on s.product_id = p.product_id
            where s.sold > 0 and (s.on_hand_units <= 0 or s.on_hand_units * 28 < s.sold * 7)
        """,
        keys=("product", "warehouse_code"),
    ),
}
"""By the name of a chart's file. How far the page is behind the shop is no metric of the shop."""
