-- check: payments_are_in_range | severity: warn
-- Payments that exceed the maximum amount at their order's exchange rate, so that they are in no
-- sum. Rows: such payments and refunds of the load.
select
    p.payment_id,
    p.order_id,
    p.kind,
    p.currency,
    p.amount_cents,
    o.exchange_rate_e8
from affected_payments as t
inner join entity.payments as p on t.payment_id = p.payment_id
inner join entity.orders as o on p.order_id = o.order_id
where etl.payment_worth(p.amount_cents, o.exchange_rate_e8) is null;
