-- Grain: one row per product and warehouse with movements, now or when the warehouse was loaded.
-- Risks and limits are those of gold's stock_health; 'now' is the day of the newest movement.
create or replace view mart.live_stock as
with moved as (
    select
        b.product_id,
        b.warehouse_code,
        b.quantity as units,
        case when b.kind = 'sale' then -b.quantity else 0 end as sold_units,
        b.occurred_date
    from live.beyond_stock_movements as b
    where not b._is_deleted
    union all
    -- Values of changed or deleted rows in the warehouse, which are subtracted.
    select
        e.product_id,
        e.warehouse_code,
        -e.quantity as units,
        case when e.kind = 'sale' then e.quantity else 0 end as sold_units,
        e.occurred_date
    from live.beyond_stock_movements as b
    inner join entity.stock_movements as e on b.movement_id = e.movement_id
),

clock as (
    select
        s.*,
        greatest(
            (select max(l.last_date) from mart.stock_levels as l),
            (select max(m.occurred_date) from moved as m)
        ) as as_of_date
    from etl.shop as s
),

part as (
    select
        l.product_id,
        l.warehouse_code,
        l.on_hand_units as units,
        0 as sold_units
    from mart.stock_levels as l
    union all
    select
        f.product_id,
        f.warehouse_code,
        0 as units,
        f.sold_units
    from clock as c
    inner join mart.fact_stocks as f
        on c.as_of_date - c.demand_days < f.date_key and c.as_of_date >= f.date_key
    union all
    select
        m.product_id,
        m.warehouse_code,
        m.units,
        case when m.occurred_date > c.as_of_date - c.demand_days then m.sold_units else 0 end
            as sold_units
    from moved as m
    cross join clock as c
),

level as (
    select
        p.product_id,
        p.warehouse_code,
        sum(p.units)::bigint as on_hand_units,
        sum(p.sold_units)::bigint as sold_units
    from part as p
    group by p.product_id, p.warehouse_code
),

covered as (
    select
        l.*,
        c.demand_days,
        c.critical_days,
        c.low_days,
        c.overstocked_days,
        case
            when l.sold_units > 0
                then div(greatest(l.on_hand_units, 0) * c.demand_days, l.sold_units)::bigint
        end as days_of_cover
    from level as l
    cross join clock as c
)

select
    c.product_id,
    c.warehouse_code,
    c.on_hand_units,
    c.days_of_cover,
    coalesce(p.name, 'unknown') as product_name,
    coalesce(p.category, 'unknown') as category,
    c.sold_units::double precision / c.demand_days as units_per_day,
    case
        when c.on_hand_units <= 0 then 'out_of_stock'
        when c.days_of_cover is null then 'idle'
        when c.days_of_cover < c.critical_days then 'critical'
        when c.days_of_cover < c.low_days then 'low'
        when c.days_of_cover >= c.overstocked_days then 'overstocked'
        else 'healthy'
    end as risk,
    coalesce(p.name || ' · ' || p.sku, 'unknown · ' || c.product_id) as product
from covered as c
left join resolved.products as p on c.product_id = p.product_id;
