-- Grain: one row per day, country of delivery, channel and category, of affected days.
insert into mart.daily_sales (
    date_key, ship_country, channel, category, orders, units, gross_revenue_cents, discount_cents,
    net_revenue_cents, shipping_cents, tax_cents, total_cents, refund_cents, cost_cents,
    margin_cents
)
select
    f.date_key,
    f.ship_country,
    f.channel,
    p.category,
    count(distinct f.order_id) as orders,
    sum(f.units) as units,
    sum(f.gross_revenue_cents) as gross_revenue_cents,
    sum(f.discount_cents) as discount_cents,
    sum(f.net_revenue_cents) as net_revenue_cents,
    sum(f.shipping_cents) as shipping_cents,
    sum(f.tax_cents) as tax_cents,
    sum(f.total_cents) as total_cents,
    sum(f.refund_cents) as refund_cents,
    sum(f.cost_cents) as cost_cents,
    sum(f.margin_cents) as margin_cents
from affected_days as t
inner join mart.fact_transactions as f on t.date_key = f.date_key
inner join mart.dim_products as p on f.product_key = p.product_key
where t.fact = 'fact_transactions' and f.counts
group by f.date_key, f.ship_country, f.channel, p.category;
