-- Grain: at most one row, the version of a product valid at that instant, as of now. Versions of
-- live that are beyond the warehouse follow all versions of the warehouse. A deletion ends the
-- version before it.
create or replace function resolved.product_at(product_id bigint, happened_at timestamptz)
returns table (product_key bigint, cost_cents bigint, name text, category text, brand text)
language sql
stable
as $$
select
    v.product_key,
    v.cost_cents,
    v.name,
    v.category,
    v.brand
from (
    select
        2 as precedence,
        etl.version_key(b._epoch, b._partition, b._offset) as product_key,
        b.cost_cents,
        b.name,
        b.category,
        b.brand,
        b._is_deleted,
        b._epoch,
        b._offset
    from live.beyond_products_history as b
    where
        b.product_id = product_at.product_id
        and product_at.happened_at is not null
        and (b._is_first or b.valid_from_at <= product_at.happened_at)
    union all
    select
        1 as precedence,
        d.product_key,
        d.cost_cents,
        d.name,
        d.category,
        d.brand,
        false as _is_deleted,
        0 as _epoch,
        0 as _offset
    from etl.product_at(product_at.product_id, product_at.happened_at) as d
    order by precedence desc, _epoch desc, _offset desc
    limit 1
) as v
where not v._is_deleted
$$;
