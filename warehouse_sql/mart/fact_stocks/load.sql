-- Grain: one row per product, warehouse and day with movements, of those in affected_stocks, from
-- the earliest affected day on; earlier rows are unchanged and give the first opening stock.
insert into new_stocks (
    product_id, warehouse_code, date_key, product_key, last_movement_at, opening_units,
    received_units, sold_units, returned_units, adjusted_units, closing_units
)
with before as (
    select
        t.product_id,
        t.warehouse_code,
        t.from_date,
        coalesce(b.closing_units, 0) as units
    from affected_stocks as t
    left join lateral (
        select f.closing_units
        from mart.fact_stocks as f
        where
            f.product_id = t.product_id
            and f.warehouse_code = t.warehouse_code
            and f.date_key < t.from_date
        order by f.date_key desc
        limit 1
    ) as b on true
),

by_day as (
    select
        b.product_id,
        b.warehouse_code,
        m.occurred_date as date_key,
        b.units as units_before,
        max(m.occurred_at) as last_movement_at,
        coalesce(sum(m.quantity) filter (where m.kind = 'receipt'), 0) as received_units,
        -coalesce(sum(m.quantity) filter (where m.kind = 'sale'), 0) as sold_units,
        coalesce(sum(m.quantity) filter (where m.kind = 'return'), 0) as returned_units,
        -- Movements for an unknown reason count as adjustments, since they change the stock, too.
        coalesce(
            sum(m.quantity) filter (where m.kind in ('adjustment', 'unknown')), 0
        ) as adjusted_units,
        sum(m.quantity) as moved_units
    from before as b
    inner join entity.stock_movements as m
        on
            b.product_id = m.product_id
            and b.warehouse_code = m.warehouse_code
            and b.from_date <= m.occurred_date
    group by b.product_id, b.warehouse_code, b.units, m.occurred_date
),

running as (
    select
        d.*,
        d.units_before + sum(d.moved_units) over (
            partition by d.product_id, d.warehouse_code
            order by d.date_key
        ) as closing_units
    from by_day as d
)

select
    r.product_id,
    r.warehouse_code,
    r.date_key,
    coalesce(p.product_key, -1) as product_key,
    r.last_movement_at,
    r.closing_units - r.moved_units as opening_units,
    r.received_units,
    r.sold_units,
    r.returned_units,
    r.adjusted_units,
    r.closing_units
from running as r
left join lateral (
    select d.product_key
    from etl.product_at(r.product_id, r.last_movement_at) as d
) as p on true;
