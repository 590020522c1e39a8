-- Grain: one row per period that ended yesterday: net revenue and orders, beside the period before,
-- that of last year, and the target. A target counts by the days of its month in the period. A
-- period is compared with none that began before the shop or on its first day, which may be a part.
create or replace view mart.compared_periods as
with clock as (
    select
        c.day,
        date_trunc('month', c.day::timestamp)::date as month_start,
        date_trunc('year', c.day::timestamp)::date as year_start
    from (
        select (now() at time zone s.time_zone)::date - 1 as day
        from etl.shop as s
    ) as c
),

-- Days are compared with the same weekdays: a week, or 52 weeks, before.
period as (
    select p.*
    from clock as c
    cross join
        lateral (
            values
            (1, 'Yesterday', c.day, c.day, c.day - 7, c.day - 7, c.day - 364, c.day - 364),
            (2, 'Last 7 days', c.day - 6, c.day, c.day - 13, c.day - 7, c.day - 370, c.day - 364),
            (
                3, 'Last 28 days',
                c.day - 27, c.day, c.day - 55, c.day - 28, c.day - 391, c.day - 364
            ),
            (
                4, 'Month so far',
                c.month_start,
                c.day,
                (c.month_start - interval '1 month')::date,
                least(
                    (c.month_start - interval '1 month')::date + (c.day - c.month_start),
                    c.month_start - 1
                ),
                (c.month_start - interval '1 year')::date,
                (c.day - interval '1 year')::date
            ),
            (
                5, 'Year so far',
                c.year_start,
                c.day,
                (c.year_start - interval '1 year')::date,
                (c.day - interval '1 year')::date,
                (c.year_start - interval '1 year')::date,
                (c.day - interval '1 year')::date
            )
        ) as p (
            period_number, period,
            first_date, last_date, before_first, before_last, year_first, year_last
        )
),

daily as (
    select
        d.date_key,
        sum(d.orders) as orders,
        sum(d.net_revenue_cents) as net_revenue_cents
    from mart.daily_orders as d
    group by d.date_key
),

shop as (
    select min(d.date_key) as first_date
    from daily as d
),

target as (
    select
        p.period_number,
        sum(
            t.net_revenue_cents::numeric
            * (
                least(p.last_date, (t.month_start_date + interval '1 month - 1 day')::date)
                - greatest(p.first_date, t.month_start_date) + 1
            )
            / (
                (t.month_start_date + interval '1 month')::date - t.month_start_date
            )
        ) as target_cents
    from period as p
    inner join etl.target as t
        on
            p.last_date >= t.month_start_date
            and p.first_date < (t.month_start_date + interval '1 month')::date
    group by p.period_number, p.first_date, p.last_date
    -- Revenue of days that have no target is compared with none.
    having
        sum(
            least(p.last_date, (t.month_start_date + interval '1 month - 1 day')::date)
            - greatest(p.first_date, t.month_start_date) + 1
        ) = p.last_date - p.first_date + 1
)

select
    p.period_number,
    p.period,
    p.first_date,
    p.last_date,
    before.net_revenue_cents as before_cents,
    last_year.net_revenue_cents as last_year_cents,
    coalesce(these.orders, 0) as orders,
    coalesce(these.net_revenue_cents, 0) as net_revenue_cents,
    round(t.target_cents) as target_cents
from period as p
cross join shop as s
left join lateral (
    select
        sum(d.orders) as orders,
        sum(d.net_revenue_cents) as net_revenue_cents
    from daily as d
    where d.date_key between p.first_date and p.last_date
) as these on true
left join lateral (
    select sum(d.net_revenue_cents) as net_revenue_cents
    from daily as d
    where d.date_key between p.before_first and p.before_last and p.before_first > s.first_date
) as before on true
left join lateral (
    select sum(d.net_revenue_cents) as net_revenue_cents
    from daily as d
    where d.date_key between p.year_first and p.year_last and p.year_first > s.first_date
) as last_year on true
left join target as t on p.period_number = t.period_number;
