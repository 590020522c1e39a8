-- Grain: one row per currency of the recent orders, with the rate of the latest.
select distinct on (o.currency)
    o.currency,
    o.exchange_rate::text as exchange_rate
from public.orders as o
where o.order_id > (select max(n.order_id) - 5000 from public.orders as n)
order by o.currency asc, o.order_id desc;
