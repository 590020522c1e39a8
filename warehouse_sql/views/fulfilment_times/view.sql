-- Grain: one row per warehouse and step, of the orders placed in the last 30 days.
drop materialized view if exists mart.fulfilment_times;
create materialized view mart.fulfilment_times as
with recent as (
    select max(o.placed_date) - 29 as first_date
    from entity.orders as o
    where o.placed_date <= (now() + interval '1 day')::date
),

place as (
    select
        f.order_id,
        min(f.warehouse_code) as warehouse_code
    from recent as r
    inner join mart.fact_transactions as f on r.first_date <= f.date_key
    group by f.order_id
),

-- A column for each step: rows for each would be sorted together, which takes twice as long.
usual as (
    select
        p.warehouse_code,
        count(o.packed_at - o.paid_at) as packed,
        count(o.shipped_at - o.packed_at) as shipped,
        count(o.delivered_at - o.shipped_at) as delivered,
        percentile_cont(array[0.5, 0.95]) within group (
            order by extract(epoch from o.packed_at - o.paid_at)::double precision
        ) as packed_seconds,
        percentile_cont(array[0.5, 0.95]) within group (
            order by extract(epoch from o.shipped_at - o.packed_at)::double precision
        ) as shipped_seconds,
        percentile_cont(array[0.5, 0.95]) within group (
            order by extract(epoch from o.delivered_at - o.shipped_at)::double precision
        ) as delivered_seconds
    from place as p
    inner join entity.orders as o on p.order_id = o.order_id
    group by p.warehouse_code
)

select
    u.warehouse_code,
    s.step_number,
    s.step,
    s.orders,
    s.seconds[1] / 3600 as median_hours,
    s.seconds[2] / 3600 as p95_hours
from usual as u
cross join
    lateral (
        values
        (1, 'packed', u.packed, u.packed_seconds),
        (2, 'shipped', u.shipped, u.shipped_seconds),
        (3, 'delivered', u.delivered, u.delivered_seconds)
    ) as s (step_number, step, orders, seconds)
where s.orders > 0;

create unique index fulfilment_times_key on mart.fulfilment_times (warehouse_code, step_number);
