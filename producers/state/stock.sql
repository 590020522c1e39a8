-- Grain: one row per product and warehouse that ever had units.
select
    m.product_id,
    m.warehouse_code,
    sum(m.quantity)::bigint as units
from public.stock_movements as m
group by m.product_id, m.warehouse_code
order by m.product_id, m.warehouse_code;
