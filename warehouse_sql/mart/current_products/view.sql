-- Grain: one row per product, also of deleted ones: its newest version. Products share names, so
-- that `product` has the SKU, too.
create or replace view mart.current_products as
select distinct on (p.product_id)
    p.product_id,
    p.sku,
    p.name,
    p.category,
    p.brand,
    p.supplier_key,
    p.price_cents,
    p.cost_cents,
    p.is_active,
    p.name || ' · ' || coalesce(p.sku, p.product_id::text) as product
from mart.dim_products as p
where p.product_id is not null
order by p.product_id asc, p.valid_from_at desc;
