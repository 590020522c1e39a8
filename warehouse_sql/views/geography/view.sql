-- Grain: one row per month, country and region of delivery.
drop materialized view if exists mart.geography;
create materialized view mart.geography as
select
    d.ship_country,
    d.ship_region,
    date_trunc('month', d.date_key::timestamp)::date as month_start_date,
    min(d.ship_region_code) as ship_region_code,
    sum(d.orders)::bigint as orders,
    sum(d.units)::bigint as units,
    sum(d.net_revenue_cents)::bigint as net_revenue_cents,
    sum(d.total_cents)::bigint as total_cents,
    sum(d.refund_cents)::bigint as refund_cents,
    sum(d.margin_cents)::bigint as margin_cents
from mart.daily_geography as d
group by month_start_date, d.ship_country, d.ship_region;

create unique index geography_key on mart.geography (month_start_date, ship_country, ship_region);
