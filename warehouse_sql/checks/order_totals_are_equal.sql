-- check: order_totals_are_equal | severity: fail
-- Lines are worth what their order is, once all of them are here. Rows: orders of the load.
select
    o.order_id,
    o.base_total_cents,
    sum(f.total_cents) as lines_total_cents
from touched_orders as t
inner join entity.orders as o on t.order_id = o.order_id
inner join mart.fact_transactions as f
    on o.order_id = f.order_id and o.placed_date = f.date_key
inner join entity.order_lines as l on f.order_line_id = l.order_line_id
where
    o.subtotal_cents > 0
    and f.date_key = any(etl.places_of('fact_transactions'))
group by o.order_id, o.base_total_cents, o.subtotal_cents
having sum(l.line_total_cents) = o.subtotal_cents and sum(f.total_cents) <> o.base_total_cents;
