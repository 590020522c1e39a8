-- check: orders_of_last_hour | severity: warn
-- The last full hour with orders had about as many as the same hour of the day before: at least
-- half, at most double. Based on the newest order, not on the clock. Rows: one, if it had not.
with newest as (
    select
        f.date_key,
        date_trunc('hour', max(f.placed_at)) as hour_end_at
    from mart.fact_transactions as f
    where f.date_key = (select max(m.date_key) from mart.fact_transactions as m)
    group by f.date_key
),

counted as (
    select
        n.hour_end_at,
        count(distinct f.order_id)
        filter (where f.placed_at >= n.hour_end_at - interval '1 hour') as orders,
        count(distinct f.order_id)
        filter (where f.placed_at < n.hour_end_at - interval '24 hours') as orders_before
    from newest as n
    inner join mart.fact_transactions as f
        on
            n.date_key - 2 <= f.date_key
            and n.hour_end_at - interval '25 hours' <= f.placed_at
            and n.hour_end_at > f.placed_at
    group by n.hour_end_at
)

select
    c.hour_end_at,
    c.orders,
    c.orders_before
from counted as c
where c.orders_before > 0 and (c.orders < c.orders_before * 0.5 or c.orders > c.orders_before * 2);
