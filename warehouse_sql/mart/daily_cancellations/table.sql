create table mart.daily_cancellations (
    date_key date not null references mart.dim_dates (date_key),
    product_id bigint not null,
    orders bigint not null,
    units bigint not null,
    cancelled_cents bigint not null,
    primary key (date_key, product_id)
);

-- In a warehouse that has facts already.
insert into mart.daily_cancellations (date_key, product_id, orders, units, cancelled_cents)
select
    f.date_key,
    f.product_id,
    count(distinct f.order_id) as orders,
    sum(f.units) as units,
    coalesce(sum(f.net_revenue_cents), 0) as cancelled_cents
from mart.fact_transactions as f
where f.status = 'cancelled'
group by f.date_key, f.product_id;
