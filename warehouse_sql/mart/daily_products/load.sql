-- Grain: one row per day and product that was sold or viewed, of affected days.
insert into mart.daily_products (
    date_key, product_id, views, carts, orders, units, gross_revenue_cents, net_revenue_cents,
    refund_cents, cost_cents, margin_cents
)
with affected as (
    select distinct t.date_key
    from affected_days as t
    where t.fact in ('fact_transactions', 'fact_user_interactions')
),

viewed as (
    select
        f.date_key,
        f.product_id,
        count(*) filter (where f.interaction_type = 'view') as views,
        count(*) filter (where f.interaction_type = 'cart') as carts
    from affected as t
    inner join mart.fact_user_interactions as f on t.date_key = f.date_key
    where f.product_id is not null
    group by f.date_key, f.product_id
),

sold as (
    select
        f.date_key,
        f.product_id,
        count(distinct f.order_id) as orders,
        sum(f.units) as units,
        sum(f.gross_revenue_cents) as gross_revenue_cents,
        sum(f.net_revenue_cents) as net_revenue_cents,
        sum(f.refund_cents) as refund_cents,
        sum(f.cost_cents) as cost_cents,
        sum(f.margin_cents) as margin_cents
    from affected as t
    inner join mart.fact_transactions as f on t.date_key = f.date_key
    where f.counts
    group by f.date_key, f.product_id
)

select
    coalesce(l.date_key, s.date_key) as date_key,
    coalesce(l.product_id, s.product_id) as product_id,
    coalesce(l.views, 0) as views,
    coalesce(l.carts, 0) as carts,
    coalesce(s.orders, 0) as orders,
    coalesce(s.units, 0) as units,
    coalesce(s.gross_revenue_cents, 0) as gross_revenue_cents,
    coalesce(s.net_revenue_cents, 0) as net_revenue_cents,
    coalesce(s.refund_cents, 0) as refund_cents,
    s.cost_cents,
    s.margin_cents
from viewed as l
full outer join sold as s on l.date_key = s.date_key and l.product_id = s.product_id;
