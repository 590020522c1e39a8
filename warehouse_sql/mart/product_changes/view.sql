-- Grain: one row per product sold in the last 56 days: the last 28 of them beside the 28 before. A
-- shop that began within these days has none: all products would seem to grow.
create or replace view mart.product_changes as
with clock as (
    select (now() at time zone s.time_zone)::date - 1 as day
    from etl.shop as s
),

sold as (
    select
        d.product_id,
        coalesce(sum(d.net_revenue_cents) filter (where d.date_key > c.day - 28), 0)
            as net_revenue_cents,
        coalesce(sum(d.net_revenue_cents) filter (where d.date_key <= c.day - 28), 0)
            as before_cents
    from clock as c
    inner join mart.daily_products as d on d.date_key > c.day - 56 and c.day >= d.date_key
    where
        d.units > 0
        and (select min(f.date_key) from mart.daily_orders as f) <= c.day - 56
    group by d.product_id
)

select
    s.product_id,
    s.net_revenue_cents,
    s.before_cents,
    coalesce(p.product, 'unknown · ' || s.product_id) as product,
    coalesce(p.category, 'unknown') as category,
    s.net_revenue_cents - s.before_cents as change_cents
from sold as s
left join mart.current_products as p on s.product_id = p.product_id;
