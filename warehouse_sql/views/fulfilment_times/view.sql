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
)

select
    p.warehouse_code,
    s.step_number,
    s.step,
    count(*) as orders,
    percentile_cont(0.5) within group (order by s.hours) as median_hours,
    percentile_cont(0.95) within group (order by s.hours) as p95_hours
from place as p
inner join entity.orders as o on p.order_id = o.order_id
cross join
    lateral (
        values
        (1, 'packed', extract(epoch from o.packed_at - o.paid_at)::double precision / 3600),
        (2, 'shipped', extract(epoch from o.shipped_at - o.packed_at)::double precision / 3600),
        (3, 'delivered', extract(epoch from o.delivered_at - o.shipped_at)::double precision / 3600)
    ) as s (step_number, step, hours)
where s.hours is not null
group by p.warehouse_code, s.step_number, s.step;

create unique index fulfilment_times_key on mart.fulfilment_times (warehouse_code, step_number);
