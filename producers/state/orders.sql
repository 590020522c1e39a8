-- Grain: one row per order that is not final, with its latest payment.
select
    o.order_id,
    o.customer_id,
    o.status,
    o.currency,
    o.exchange_rate::text as exchange_rate,
    o.shipping_amount::text as shipping_amount,
    o.ship_country,
    p.payment_id,
    p.kind as payment_kind,
    p.method as payment_method,
    coalesce(substring(o.coupon_code from '\d+')::integer, 0) as discount_percent
from public.orders as o
inner join lateral (
    select
        a.payment_id,
        a.kind,
        a.method
    from public.payments as a
    where a.order_id = o.order_id
    order by a.payment_id desc
    limit 1
) as p on true
where
    o.status in ('placed', 'paid', 'packed', 'shipped', 'returned')
    or (o.status = 'cancelled' and o.paid_at is not null)
order by o.order_id;
