{{ config(
    unique_key='product_key',
    indexes=[
        {'columns': ['product_key'], 'unique': true},
        {'columns': ['product_id', 'valid_from_at']},
        {'columns': ['_number']},
    ],
) }}
-- Grain: one row per version of a product, of the products with new changes.
select
    c._partition::bigint << 40 | c._offset as product_key,
    c.product_id,
    c.supplier_id,
    c.sku,
    c.name,
    c.category,
    c.brand,
    (c.price_amount * 100)::bigint as price_cents,
    (c.cost_amount * 100)::bigint as cost_cents,
    c.weight_grams,
    c.is_active,
    case when row_number() over one_key = 1 then '-infinity' else c.updated_at end as valid_from_at,
    lead(c.updated_at) over one_key as valid_to_at,
    c._number
from {{ source('dbt_raw', 'products') }} as c
where c.product_id in (select n.product_id from ({{ new_changes('products') }}) as n)
window one_key as (partition by c.product_id order by c._number)
