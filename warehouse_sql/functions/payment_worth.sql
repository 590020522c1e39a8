-- The value of a payment or refund in cents of the base currency, at the exchange rate of its order
-- (its own row has none), rounded half up. More than ten million is a typing error, as in every
-- other amount: the value is null, so that it is in no sum, and payments_are_in_range reports it.
create or replace function etl.payment_worth(amount_cents bigint, exchange_rate_e8 bigint)
returns bigint
language sql
immutable
parallel safe
as $$
select case
    when p.cents_e8 <= 1000000000 * 100000000::numeric
        then div(p.cents_e8 + 50000000, 100000000)::bigint
end
from (values (payment_worth.amount_cents::numeric * payment_worth.exchange_rate_e8)) as p (cents_e8)
$$;
