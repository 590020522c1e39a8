-- Grain: one row per day and coupon, of affected days. A coupon is cut to what an index takes.
insert into mart.daily_coupons (
    date_key, coupon, orders, net_revenue_cents, discount_cents, margin_cents
)
select
    f.date_key,
    left(coalesce(o.coupon_code, 'none'), 100) as coupon,
    count(distinct f.order_id) as orders,
    sum(f.net_revenue_cents) as net_revenue_cents,
    sum(f.discount_cents) as discount_cents,
    sum(f.margin_cents) as margin_cents
from affected_days as t
inner join mart.fact_transactions as f on t.date_key = f.date_key
inner join entity.orders as o on f.order_id = o.order_id
where t.fact = 'fact_transactions' and f.counts
group by f.date_key, left(coalesce(o.coupon_code, 'none'), 100);
