-- Grain: one row per product, the ten with the highest net revenue of the last hour.
create or replace view mart.live_top_products as
with best as (
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
    limit 10
)

select
    b.*,
    b.product_name || ' · ' || coalesce(p.sku, b.product_id::text) as product
from best as b
left join resolved.products as p on b.product_id = p.product_id
order by b.net_revenue_cents desc nulls last, b.product_id asc;
