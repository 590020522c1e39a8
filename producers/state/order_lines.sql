-- Grain: one row per line of an order that is not final; quantity without injected faults.
select
    l.order_id,
    l.order_line_id,
    l.product_id,
    l.warehouse_code,
    l.unit_price_amount::text as unit_price_amount,
    coalesce(d.clean_value::integer, l.quantity) as quantity
from public.orders as o
inner join public.order_lines as l on o.order_id = l.order_id
left join ledger.dirt as d
    on
        l.order_line_id = d.row_key and l.quantity::text = d.dirty_value
        and d.table_name = 'order_lines' and d.column_name = 'quantity'
where
    o.status in ('placed', 'paid', 'packed', 'shipped', 'returned')
    or (o.status = 'cancelled' and o.paid_at is not null)
order by l.order_id, l.line_number;
