-- Grain: one row per row of the history of a product in affected_products.
create temporary table version_products on commit drop as
select
    h.product_id,
    h._epoch,
    h._partition,
    h._offset,
    h.supplier_id,
    h.sku,
    h.name,
    h.category,
    h.brand,
    h.price_cents,
    h.cost_cents,
    h.weight_grams,
    h.is_active,
    coalesce(s.supplier_key, '-1') as supplier_key,
    h.valid_from_at,
    h.valid_to_at
from entity.products_history as h
inner join affected_products as t on h.product_id = t.product_id
left join mart.dim_suppliers as s on h.supplier_id = s.supplier_key;
