-- Grain: one row: current sales, compared with yesterday until the same time.
create or replace view mart.live_now as
with clock as (
    select
        (now() at time zone s.time_zone)::date as today,
        ((now() at time zone s.time_zone) - interval '1 day') at time zone s.time_zone
            as same_time_yesterday_at
    from etl.shop as s
),

figure as (
    select
        count(distinct s.order_id) filter (
            where s.placed_at >= now() - interval '30 seconds'
        ) / 30.0 as orders_per_second,
        count(distinct s.order_id) filter (
            where s.placed_at >= now() - interval '1 hour'
        ) as orders_last_hour,
        sum(s.net_revenue_cents) filter (
            where s.placed_at >= now() - interval '1 hour'
        ) as net_revenue_last_hour_cents,
        count(distinct s.order_id) filter (where s.date_key = c.today) as orders_today,
        sum(s.net_revenue_cents) filter (where s.date_key = c.today) as net_revenue_today_cents,
        count(distinct s.order_id) filter (
            where s.date_key = c.today - 1 and s.placed_at <= c.same_time_yesterday_at
        ) as orders_yesterday,
        sum(s.net_revenue_cents) filter (
            where s.date_key = c.today - 1 and s.placed_at <= c.same_time_yesterday_at
        ) as net_revenue_yesterday_cents
    from clock as c
    cross join mart.live_sales as s
    where
        s.counts
        and s.date_key >= (now() - interval '3 days')::date
        and s.date_key between c.today - 1 and c.today
)

select
    f.orders_per_second::double precision as orders_per_second,
    f.orders_last_hour,
    f.orders_today,
    f.orders_yesterday,
    coalesce(f.net_revenue_last_hour_cents, 0)::bigint as net_revenue_last_hour_cents,
    coalesce(f.net_revenue_today_cents, 0)::bigint as net_revenue_today_cents,
    coalesce(f.net_revenue_yesterday_cents, 0)::bigint as net_revenue_yesterday_cents,
    (f.net_revenue_today_cents - f.net_revenue_yesterday_cents)::double precision
    / nullif(f.net_revenue_yesterday_cents, 0) as revenue_change
from figure as f;
