-- check: versions_do_not_overlap | severity: fail
-- At most one version is valid at any instant. Rows: versions that begin before the last one ends.
with version as (
    select
        'product' as what,
        d.product_id as id,
        d.valid_from_at,
        lag(coalesce(d.valid_to_at, 'infinity')) over (
            partition by d.product_id
            order by d.valid_from_at
        ) as last_valid_to_at
    from affected_products as t
    inner join mart.dim_products as d on t.product_id = d.product_id
    union all
    select
        'customer' as what,
        d.customer_id as id,
        d.valid_from_at,
        lag(coalesce(d.valid_to_at, 'infinity')) over (
            partition by d.customer_id
            order by d.valid_from_at
        ) as last_valid_to_at
    from affected_customers as t
    inner join mart.dim_customers as d on t.customer_id = d.customer_id
)

select
    v.what,
    v.id,
    v.valid_from_at::text as valid_from_at,
    v.last_valid_to_at::text as last_valid_to_at
from version as v
where v.last_valid_to_at > v.valid_from_at;
