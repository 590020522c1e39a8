-- Grain: one row per product, the ten with the highest net revenue of the last hour.
create or replace view mart.live_top_products as
select
    s.product_id,
    max(s.product_name) as product_name,
    max(s.category) as category,
    sum(s.units)::bigint as units,
    count(distinct s.order_id) as orders,
    sum(s.net_revenue_cents)::bigint as net_revenue_cents
from mart.live_sales as s
where
    s.counts
    and s.date_key >= (now() - interval '2 days')::date
    and s.placed_at >= now() - interval '1 hour'
group by s.product_id
order by net_revenue_cents desc nulls last, s.product_id asc
limit 10;
