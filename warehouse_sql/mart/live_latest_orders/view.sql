-- Grain: one row per order, the 20 latest.
create or replace view mart.live_latest_orders as
with latest as (
    select distinct
        s.order_id,
        s.placed_at
    from mart.live_sales as s
    where s.date_key >= (now() - interval '2 days')::date and s.placed_at is not null
    order by s.placed_at desc, s.order_id desc
    limit 20
)

select
    l.order_id,
    l.placed_at,
    s.status,
    s.channel,
    s.currency,
    s.ship_country,
    s.ship_city,
    count(*) as lines,
    sum(s.units)::bigint as units,
    sum(s.total_cents)::bigint as total_cents
from latest as l
inner join mart.live_sales as s on l.order_id = s.order_id and l.placed_at = s.placed_at
where s.date_key >= (now() - interval '2 days')::date
group by
    l.order_id, l.placed_at, s.status, s.channel, s.currency, s.ship_country, s.ship_city
order by l.placed_at desc, l.order_id desc;
