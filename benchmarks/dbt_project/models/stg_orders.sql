{{ config(
    unique_key='order_id',
    indexes=[{'columns': ['order_id'], 'unique': true}, {'columns': ['_number']}],
) }}
-- Grain: one row per order, as it is now.
select distinct on (c.order_id)
    c.order_id,
    c.customer_id,
    c.channel,
    c.status,
    c.currency,
    c.ship_country,
    c.ship_region,
    r.code as ship_region_code,
    c.ship_city,
    c.placed_at,
    (c.placed_at at time zone 'Europe/Paris')::date as placed_date,
    c.paid_at,
    (c.exchange_rate * 100000000)::bigint as exchange_rate_e8,
    (c.subtotal_amount * 100)::bigint as subtotal_cents,
    (c.discount_amount * 100)::bigint as discount_cents,
    (c.shipping_amount * 100)::bigint as shipping_cents,
    (c.tax_amount * 100)::bigint as tax_cents,
    (c.total_amount * 100)::bigint as total_cents,
    (c.base_total_amount * 100)::bigint as base_total_cents,
    c._number
from ({{ new_changes('orders') }}) as c
left join {{ ref('regions') }} as r on c.ship_country = r.country and c.ship_region = r.region
order by c.order_id, c._number desc
