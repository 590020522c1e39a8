-- Grain: one row per day, from 28 days before the forecast to its last day.
create or replace view mart.revenue_outlook as
with forecast as (
    select
        min(f.forecast_date) as first_date,
        max(f.forecast_date) as last_date
    from etl.revenue_forecast as f
),

daily as (
    select
        d.date_key,
        sum(d.net_revenue_cents)::bigint as net_revenue_cents
    from mart.daily_orders as d
    group by d.date_key
),

complete as (
    select (r.as_of_at at time zone s.time_zone)::date - 1 as last_date
    from mart.freshness as r
    cross join etl.shop as s
)

select
    g.day::date as outlook_date,
    f.net_revenue_cents as forecast_cents,
    f.low_80_cents,
    f.high_80_cents,
    case when g.day::date <= c.last_date then coalesce(d.net_revenue_cents, 0) end
        as net_revenue_cents
from forecast as w
cross join complete as c
cross join
    lateral generate_series(
        (w.first_date - 28)::timestamp, w.last_date::timestamp, interval '1 day'
    ) as g (day)
left join etl.revenue_forecast as f on g.day::date = f.forecast_date
left join daily as d on g.day::date = d.date_key;
