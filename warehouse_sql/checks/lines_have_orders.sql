-- check: lines_have_orders | severity: warn
-- Lines whose order is missing: not loaded yet, or quarantined. Rows: such lines of the load.
select
    f.order_line_id,
    f.order_id
from affected_orders as t
inner join mart.fact_transactions as f on t.order_id = f.order_id
where
    f.placed_at is null
    and f.date_key = any(etl.affected_dates('fact_transactions'));
