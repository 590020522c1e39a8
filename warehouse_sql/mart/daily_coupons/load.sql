-- Grain: one row per day and coupon, of affected days. A coupon is cut to what an index takes.
insert into mart.daily_coupons (
    date_key, coupon, orders, net_revenue_cents, discount_cents, margin_cents
)
select
    f.date_key,
    left(coalesce(o.coupon_code, 'none'), 100) as coupon,
    count(*) as orders,
    sum(f.net_revenue_cents) as net_revenue_cents,
    sum(f.discount_cents) as discount_cents,
    sum(f.margin_cents) as margin_cents
from order_sums as f
inner join entity.orders as o on f.order_id = o.order_id
group by f.date_key, left(coalesce(o.coupon_code, 'none'), 100);
