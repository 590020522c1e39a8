-- Grain: one row per product, including discontinued ones, which open orders may contain.
select
    p.product_id,
    p.supplier_id,
    p.price_amount::text as price_amount,
    p.cost_amount::text as cost_amount,
    p.is_active
from public.products as p
order by p.product_id;
