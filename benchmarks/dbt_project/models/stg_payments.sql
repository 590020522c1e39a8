{{ config(
    unique_key='payment_id',
    indexes=[
        {'columns': ['payment_id'], 'unique': true},
        {'columns': ['order_id']},
        {'columns': ['_number']},
    ],
) }}
-- Grain: one row per payment, as it is now.
select distinct on (c.payment_id)
    c.payment_id,
    c.order_id,
    c.kind,
    c.status,
    (c.amount * 100)::bigint as amount_cents,
    c._number
from ({{ new_changes('payments') }}) as c
order by c.payment_id, c._number desc
