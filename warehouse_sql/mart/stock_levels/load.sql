-- Grain: one row per product and warehouse, of affected ones: the closing stock of their last day.
insert into mart.stock_levels (product_id, warehouse_code, on_hand_units, last_date)
select
    t.product_id,
    t.warehouse_code,
    f.closing_units as on_hand_units,
    f.date_key as last_date
from affected_stocks as t
cross join lateral (
    select
        s.closing_units,
        s.date_key
    from mart.fact_stocks as s
    where s.product_id = t.product_id and s.warehouse_code = t.warehouse_code
    order by s.date_key desc
    limit 1
) as f;
