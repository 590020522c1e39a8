-- Grain: one row per day, country and region of delivery, of affected days.
insert into mart.daily_geography (
    date_key, ship_country, ship_region, ship_region_code, orders, units, net_revenue_cents,
    total_cents, refund_cents, margin_cents
)
select
    f.date_key,
    f.ship_country,
    f.ship_region,
    min(f.ship_region_code) as ship_region_code,
    count(*) as orders,
    sum(f.units) as units,
    sum(f.net_revenue_cents) as net_revenue_cents,
    sum(f.total_cents) as total_cents,
    sum(f.refund_cents) as refund_cents,
    sum(f.margin_cents) as margin_cents
from order_sums as f
group by f.date_key, f.ship_country, f.ship_region;
