-- Grain: one row per version of a customer. Adjacent versions with equal columns are merged. The
-- key is derived from the change that started it; the first version is valid from -infinity.
create temporary table new_customers on commit drop as
with version as (
    select
        h.customer_id,
        h._epoch,
        h._partition,
        h._offset,
        h.person_key,
        extract(year from h.birth_date)::integer as birth_year,
        h.city,
        h.region,
        h.region_code,
        h.country,
        round(h.latitude::numeric, 2)::double precision as latitude,
        round(h.longitude::numeric, 2)::double precision as longitude,
        h.accepts_marketing,
        h.created_at as customer_since_at,
        case
            when row_number() over in_order = 1 then '-infinity'
            else h.valid_from_at
        end as valid_from_at,
        h.valid_to_at
    from entity.customers_history as h
    inner join affected_customers as t on h.customer_id = t.customer_id
    window in_order as (
        partition by h.customer_id
        order by h.valid_from_at, h._epoch, h._offset
    )
),

-- A version that ended at the instant of its start was never valid.
compared as (
    select
        v.*,
        row(
            v.person_key,
            v.birth_year,
            v.city,
            v.region,
            v.region_code,
            v.country,
            v.latitude,
            v.longitude,
            v.accepts_marketing,
            v.customer_since_at
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
    window in_order as (partition by c.customer_id order by c.valid_from_at)
),

numbered as (
    select
        m.*,
        count(*) filter (where m.is_start) over (
            partition by m.customer_id
            order by m.valid_from_at
        ) as run
    from marked as m
),

merged as (
    select
        n.*,
        last_value(n.valid_to_at) over (
            partition by n.customer_id, n.run
            order by n.valid_from_at
            rows between unbounded preceding and unbounded following
        ) as run_valid_to_at
    from numbered as n
)

select
    etl.version_key(m._epoch, m._partition, m._offset) as customer_key,
    m.customer_id,
    m.person_key,
    m.birth_year,
    m.city,
    m.region,
    m.region_code,
    m.country,
    m.latitude,
    m.longitude,
    m.accepts_marketing,
    m.customer_since_at,
    m.valid_from_at,
    m.run_valid_to_at as valid_to_at,
    m.run_valid_to_at is null as is_current
from merged as m
where m.is_start;

-- Facts that need a new lookup of their version: all of a deleted or changed version, and those of
-- a version that now ends earlier, from its end on.
insert into rekeyed_customers (customer_key, from_at)
select
    d.customer_key,
    case
        when
            n.customer_key is null
            or d.valid_from_at <> n.valid_from_at
            then '-infinity'
        else n.valid_to_at
    end as from_at
from mart.dim_customers as d
inner join affected_customers as t on d.customer_id = t.customer_id
left join new_customers as n on d.customer_key = n.customer_key
where
    n.customer_key is null
    or d.valid_from_at <> n.valid_from_at
    or coalesce(d.valid_to_at, 'infinity') > coalesce(n.valid_to_at, 'infinity');

insert into mart.dim_customers (
    customer_key,
    customer_id,
    person_key,
    birth_year,
    city,
    region,
    region_code,
    country,
    latitude,
    longitude,
    accepts_marketing,
    customer_since_at,
    valid_from_at,
    valid_to_at,
    is_current
)
select
    n.customer_key,
    n.customer_id,
    n.person_key,
    n.birth_year,
    n.city,
    n.region,
    n.region_code,
    n.country,
    n.latitude,
    n.longitude,
    n.accepts_marketing,
    n.customer_since_at,
    n.valid_from_at,
    n.valid_to_at,
    n.is_current
from new_customers as n
on conflict (customer_key) do update
    set
        customer_id = excluded.customer_id,
        person_key = excluded.person_key,
        birth_year = excluded.birth_year,
        city = excluded.city,
        region = excluded.region,
        region_code = excluded.region_code,
        country = excluded.country,
        latitude = excluded.latitude,
        longitude = excluded.longitude,
        accepts_marketing = excluded.accepts_marketing,
        customer_since_at = excluded.customer_since_at,
        valid_from_at = excluded.valid_from_at,
        valid_to_at = excluded.valid_to_at,
        is_current = excluded.is_current;

-- Obsolete versions are kept until no fact refers to them, but are excluded from lookups.
update mart.dim_customers as d
set valid_from_at = 'infinity', valid_to_at = null
from affected_customers as t
where
    d.customer_id = t.customer_id
    and not exists (
        select from new_customers as n
        where n.customer_key = d.customer_key
    );
