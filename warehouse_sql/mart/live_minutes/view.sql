-- Grain: one row per minute of the last hour, including the current one.
create or replace view mart.live_minutes as
with minute as (
    select g.minute_at
    from generate_series(
        date_trunc('minute', now()) - interval '59 minutes',
        date_trunc('minute', now()),
        interval '1 minute'
    ) as g (minute_at)
),

sold as (
    select
        date_trunc('minute', s.placed_at) as minute_at,
        count(distinct s.order_id) as orders,
        sum(s.units) as units,
        sum(s.gross_revenue_cents) as gross_revenue_cents,
        sum(s.net_revenue_cents) as net_revenue_cents,
        sum(s.total_cents) as total_cents
    from mart.live_sales as s
    where
        s.counts
        and s.date_key >= (now() - interval '2 days')::date
        and s.placed_at >= date_trunc('minute', now()) - interval '59 minutes'
    group by date_trunc('minute', s.placed_at)
)

select
    m.minute_at,
    coalesce(s.orders, 0) as orders,
    coalesce(s.units, 0)::bigint as units,
    coalesce(s.gross_revenue_cents, 0)::bigint as gross_revenue_cents,
    coalesce(s.net_revenue_cents, 0)::bigint as net_revenue_cents,
    coalesce(s.total_cents, 0)::bigint as total_cents
from minute as m
left join sold as s on m.minute_at = s.minute_at;
