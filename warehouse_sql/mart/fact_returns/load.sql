-- Grain: one row per order line that came back, of those in affected_returns.
insert into new_returns (
    return_id, order_id, order_line_id, date_key, product_key, customer_key, product_id,
    customer_id, returned_at, reason, condition, units, ship_country, currency, refund_cents,
    base_refund_cents
)
select
    r.return_id,
    r.order_id,
    r.order_line_id,
    r.returned_date as date_key,
    coalesce(p.product_key, -1) as product_key,
    case
        when o.order_id is not null and o.customer_id is null then -2
        else coalesce(c.customer_key, -1)
    end as customer_key,
    l.product_id,
    o.customer_id,
    r.returned_at,
    r.reason,
    r.condition,
    r.quantity as units,
    o.ship_country,
    o.currency,
    r.refund_cents,
    etl.payment_worth(r.refund_cents, o.exchange_rate_e8) as base_refund_cents
from affected_returns as t
inner join entity.returns as r on t.return_id = r.return_id
left join entity.orders as o on r.order_id = o.order_id
left join entity.order_lines as l on r.order_line_id = l.order_line_id
left join lateral (
    select d.product_key
    from etl.product_at(l.product_id, r.returned_at) as d
) as p on true
left join lateral (
    select d.customer_key
    from etl.customer_at(o.customer_id, r.returned_at) as d
) as c on true;
