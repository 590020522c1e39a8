-- Grain: one row per product, discontinued ones too: open orders may hold them.
select
    p.product_id,
    p.supplier_id,
    p.price_amount::text as price_amount,
    p.cost_amount::text as cost_amount,
    p.is_active
from public.products as p
order by p.product_id;
