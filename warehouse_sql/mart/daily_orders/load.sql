-- Grain: one row per day, country of delivery and channel, of affected days.
insert into mart.daily_orders (
    date_key, ship_country, channel, orders, units, net_revenue_cents, total_cents, refund_cents
)
select
    f.date_key,
    f.ship_country,
    f.channel,
    count(*) as orders,
    sum(f.units) as units,
    sum(f.net_revenue_cents) as net_revenue_cents,
    sum(f.total_cents) as total_cents,
    sum(f.refund_cents) as refund_cents
from order_sums as f
group by f.date_key, f.ship_country, f.channel;
