-- Grain: one row per day and hour of the shop's clock with orders, of affected days.
insert into mart.daily_hours (date_key, hour, orders, net_revenue_cents)
select
    f.date_key,
    extract(hour from f.placed_at at time zone s.time_zone)::integer as hour,
    count(*) as orders,
    sum(f.net_revenue_cents) as net_revenue_cents
from order_sums as f
cross join etl.shop as s
group by 1, 2;
