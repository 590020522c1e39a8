-- Grain: one row per product and warehouse with movements: its worth, and what to order from whom.
-- It is time when the stock does not last until a delivery and critical_days more; then as much is
-- missing as is sold until that delivery and in the demand_days after it.
create or replace view mart.stock_orders as
with supplied as (
    select
        l.product_id,
        l.warehouse_code,
        l.on_hand_units,
        l.days_of_cover,
        l.units_per_day,
        l.risk,
        l.product,
        l.category,
        p.cost_cents,
        p.is_active,
        s.demand_days,
        s.critical_days,
        coalesce(d.name, 'unknown') as supplier,
        coalesce(d.lead_time_days, 0) as lead_time_days
    from mart.live_stock as l
    cross join etl.shop as s
    left join mart.current_products as p on l.product_id = p.product_id
    left join mart.dim_suppliers as d on p.supplier_key = d.supplier_key
),

due as (
    select
        s.*,
        case
            when
                s.is_active
                and s.units_per_day > 0
                and s.days_of_cover < s.lead_time_days + s.critical_days
                then
                    -- Rounded first: 3 units a day for 7 days are 21, and not a fraction more.
                    ceil(
                        round((s.units_per_day * (s.lead_time_days + s.demand_days))::numeric, 6)
                        - greatest(s.on_hand_units, 0)
                    )::bigint
            else 0
        end as order_units
    from supplied as s
)

select
    d.product_id,
    d.warehouse_code,
    d.product,
    d.category,
    d.supplier,
    d.lead_time_days,
    d.on_hand_units,
    d.units_per_day,
    d.days_of_cover,
    d.order_units,
    greatest(d.on_hand_units, 0) * d.cost_cents as stock_value_cents,
    d.order_units * d.cost_cents as order_cents
from due as d;
