-- Grain: one row per month and product, with the product's current name, category and brand.
drop materialized view if exists mart.product_performance;
create materialized view mart.product_performance as
with latest as (
    select distinct on (p.product_id)
        p.product_id,
        p.name,
        p.category,
        p.brand
    from mart.dim_products as p
    where p.product_id is not null
    order by p.product_id asc, p.valid_from_at desc
),

monthly as (
    select
        d.product_id,
        date_trunc('month', d.date_key::timestamp)::date as month_start_date,
        sum(d.views)::bigint as views,
        sum(d.carts)::bigint as carts,
        sum(d.orders)::bigint as orders,
        sum(d.units)::bigint as units,
        sum(d.gross_revenue_cents)::bigint as gross_revenue_cents,
        sum(d.net_revenue_cents)::bigint as net_revenue_cents,
        sum(d.refund_cents)::bigint as refund_cents,
        sum(d.cost_cents)::bigint as cost_cents,
        sum(d.margin_cents)::bigint as margin_cents
    from mart.daily_products as d
    group by month_start_date, d.product_id
)

select
    m.month_start_date,
    m.product_id,
    m.views,
    m.carts,
    m.orders,
    m.units,
    m.gross_revenue_cents,
    m.net_revenue_cents,
    m.refund_cents,
    m.cost_cents,
    m.margin_cents,
    coalesce(l.name, 'unknown') as name,
    coalesce(l.category, 'unknown') as category,
    coalesce(l.brand, 'unknown') as brand,
    m.orders::double precision / nullif(m.views, 0) as orders_per_view
from monthly as m
left join latest as l on m.product_id = l.product_id;

create unique index product_performance_key
on mart.product_performance (month_start_date, product_id);
