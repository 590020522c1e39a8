-- Grain: one row per step and warehouse with orders that wait for it.
drop materialized view if exists mart.waiting_orders;
create materialized view mart.waiting_orders as
with recent as (
    select max(o.placed_date) - 91 as first_date
    from entity.orders as o
    where o.placed_date <= (now() + interval '1 day')::date
),

-- As in fulfilment_times, which this view does not read: then neither could be created again alone.
place as (
    select
        f.order_id,
        min(f.warehouse_code) as warehouse_code
    from recent as r
    inner join mart.fact_transactions as f on r.first_date + 62 <= f.date_key
    group by f.order_id
),

-- A column for each step: rows for each would be sorted together, which takes twice as long.
-- Materialized, lest it be computed for each order that waits: statistics may know of none.
usual as materialized (
    select
        p.warehouse_code,
        array[
            percentile_cont(0.95) within group (
                order by extract(epoch from o.paid_at - o.placed_at)::double precision
            ),
            percentile_cont(0.95) within group (
                order by extract(epoch from o.packed_at - o.paid_at)::double precision
            ),
            percentile_cont(0.95) within group (
                order by extract(epoch from o.shipped_at - o.packed_at)::double precision
            ),
            percentile_cont(0.95) within group (
                order by extract(epoch from o.delivered_at - o.shipped_at)::double precision
            )
        ] as p95_seconds
    from place as p
    inner join entity.orders as o on p.order_id = o.order_id
    group by p.warehouse_code
),

waiting as (
    select
        o.order_id,
        o.base_total_cents,
        s.step_number,
        s.step,
        s.since_at,
        (
            select min(l.warehouse_code)
            from entity.order_lines as l
            where l.order_id = o.order_id
        ) as warehouse_code
    from recent as r
    inner join entity.orders as o on r.first_date <= o.placed_date
    inner join lateral (
        values
        ('placed', 0, 'paid', o.placed_at),
        ('paid', 1, 'packed', o.paid_at),
        ('packed', 2, 'shipped', o.packed_at),
        ('shipped', 3, 'delivered', o.shipped_at)
    ) as s (status, step_number, step, since_at) on o.status = s.status
    -- Says the same again, before rows for each step are made of all orders.
    where o.status in ('placed', 'paid', 'packed', 'shipped')
)

select
    w.step_number,
    w.step,
    coalesce(w.warehouse_code, 'unknown') as warehouse_code,
    count(*) as orders,
    count(*) filter (
        where extract(epoch from now() - w.since_at) > u.p95_seconds[w.step_number + 1]
    ) as late_orders,
    sum(w.base_total_cents)::bigint as waiting_cents,
    min(w.since_at) as oldest_at
from waiting as w
left join usual as u on w.warehouse_code = u.warehouse_code
group by w.step_number, w.step, w.warehouse_code;

create unique index waiting_orders_key on mart.waiting_orders (step_number, warehouse_code);
