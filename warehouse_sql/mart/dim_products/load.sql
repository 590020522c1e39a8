-- Grain: one row per version of a product. Adjacent versions with equal columns are merged. The key
-- is derived from the change that started it; the first version is valid from -infinity.
create temporary table new_products on commit drop as
with version as (
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
        case
            when row_number() over in_order = 1 then '-infinity'
            else h.valid_from_at
        end as valid_from_at,
        h.valid_to_at
    from entity.products_history as h
    inner join affected_products as t on h.product_id = t.product_id
    window in_order as (
        partition by h.product_id
        order by h.valid_from_at, h._epoch, h._offset
    )
),

-- A version that ended at the instant of its start was never valid.
compared as (
    select
        v.*,
        row(
            v.supplier_id,
            v.sku,
            v.name,
            v.category,
            v.brand,
            v.price_cents,
            v.cost_cents,
            v.weight_grams,
            v.is_active
        ) as attributes
    from version as v
    where v.valid_to_at is null or v.valid_to_at > v.valid_from_at
),

marked as (
    select
        c.*,
        not coalesce(
            c.valid_from_at = lag(c.valid_to_at) over in_order
            and c.attributes = lag(c.attributes) over in_order,
            false
        ) as is_start
    from compared as c
    window in_order as (partition by c.product_id order by c.valid_from_at)
),

numbered as (
    select
        m.*,
        count(*) filter (where m.is_start) over (
            partition by m.product_id
            order by m.valid_from_at
        ) as run
    from marked as m
),

merged as (
    select
        n.*,
        last_value(n.valid_to_at) over (
            partition by n.product_id, n.run
            order by n.valid_from_at
            rows between unbounded preceding and unbounded following
        ) as run_valid_to_at
    from numbered as n
)

select
    etl.version_key(m._epoch, m._partition, m._offset) as product_key,
    m.product_id,
    m.supplier_id,
    m.sku,
    m.name,
    m.category,
    m.brand,
    m.price_cents,
    m.cost_cents,
    m.weight_grams,
    m.is_active,
    m.valid_from_at,
    m.run_valid_to_at as valid_to_at,
    m.run_valid_to_at is null as is_current,
    coalesce(s.supplier_key, -1) as supplier_key
from merged as m
left join mart.dim_suppliers as s on m.supplier_id = s.supplier_key
where m.is_start;

-- Facts that need a new lookup of their version: all of a deleted or changed version, and those of
-- a version that now ends earlier, from its end on.
insert into rekeyed_products (product_key, from_at)
select
    d.product_key,
    case
        when
            n.product_key is null
            or d.valid_from_at <> n.valid_from_at
            or (d.cost_cents, d.category) <> (n.cost_cents, n.category)
            then '-infinity'
        else n.valid_to_at
    end as from_at
from mart.dim_products as d
inner join affected_products as t on d.product_id = t.product_id
left join new_products as n on d.product_key = n.product_key
where
    n.product_key is null
    or d.valid_from_at <> n.valid_from_at
    or (d.cost_cents, d.category) <> (n.cost_cents, n.category)
    or coalesce(d.valid_to_at, 'infinity') > coalesce(n.valid_to_at, 'infinity');

insert into mart.dim_products (
    product_key,
    product_id,
    supplier_id,
    sku,
    name,
    category,
    brand,
    price_cents,
    cost_cents,
    weight_grams,
    is_active,
    valid_from_at,
    valid_to_at,
    is_current,
    supplier_key
)
select
    n.product_key,
    n.product_id,
    n.supplier_id,
    n.sku,
    n.name,
    n.category,
    n.brand,
    n.price_cents,
    n.cost_cents,
    n.weight_grams,
    n.is_active,
    n.valid_from_at,
    n.valid_to_at,
    n.is_current,
    n.supplier_key
from new_products as n
on conflict (product_key) do update
    set
        product_id = excluded.product_id,
        supplier_id = excluded.supplier_id,
        sku = excluded.sku,
        name = excluded.name,
        category = excluded.category,
        brand = excluded.brand,
        price_cents = excluded.price_cents,
        cost_cents = excluded.cost_cents,
        weight_grams = excluded.weight_grams,
        is_active = excluded.is_active,
        valid_from_at = excluded.valid_from_at,
        valid_to_at = excluded.valid_to_at,
        is_current = excluded.is_current,
        supplier_key = excluded.supplier_key;

-- Obsolete versions are kept until no fact refers to them, but are excluded from lookups.
update mart.dim_products as d
set valid_from_at = 'infinity', valid_to_at = null
from affected_products as t
where
    d.product_id = t.product_id
    and not exists (
        select from new_products as n
        where n.product_key = d.product_key
    );
