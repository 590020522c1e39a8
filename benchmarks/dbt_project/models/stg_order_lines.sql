{{ config(
    unique_key='order_line_id',
    indexes=[
        {'columns': ['order_line_id'], 'unique': true},
        {'columns': ['order_id']},
        {'columns': ['_number']},
    ],
) }}
-- Grain: one row per order line, as it is now.
select distinct on (c.order_line_id)
    c.order_line_id,
    c.order_id,
    c.line_number,
    c.product_id,
    c.warehouse_code,
    c.quantity,
    (c.line_total_amount * 100)::bigint as line_total_cents,
    c._number
from ({{ new_changes('order_lines') }}) as c
order by c.order_line_id, c._number desc
