-- Grain: one row per attempt of a payment or refund, of those in affected_payments.
insert into new_payments (
    payment_id, order_id, date_key, customer_key, customer_id, created_at, settled_at, kind, method,
    status, ship_country, currency, amount_cents, base_amount_cents
)
select
    p.payment_id,
    p.order_id,
    p.created_date as date_key,
    case
        when o.order_id is not null and o.customer_id is null then -2
        else coalesce(c.customer_key, -1)
    end as customer_key,
    o.customer_id,
    p.created_at,
    p.settled_at,
    p.kind,
    p.method,
    p.status,
    o.ship_country,
    p.currency,
    p.amount_cents,
    etl.payment_worth(p.amount_cents, o.exchange_rate_e8) as base_amount_cents
from affected_payments as t
inner join entity.payments as p on t.payment_id = p.payment_id
left join entity.orders as o on p.order_id = o.order_id
left join lateral (
    select d.customer_key
    from etl.customer_at(o.customer_id, p.created_at) as d
) as c on true;
