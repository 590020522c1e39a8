-- Grain: one row per day and product of cancelled orders, of affected days.
insert into mart.daily_cancellations (date_key, product_id, orders, units, cancelled_cents)
select
    f.date_key,
    f.product_id,
    count(distinct f.order_id) as orders,
    sum(f.units) as units,
    coalesce(sum(f.net_revenue_cents), 0) as cancelled_cents
from affected_days as t
inner join mart.fact_transactions as f on t.date_key = f.date_key
where t.fact = 'fact_transactions' and f.status = 'cancelled'
group by f.date_key, f.product_id;
