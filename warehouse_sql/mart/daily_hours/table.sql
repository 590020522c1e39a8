create table mart.daily_hours (
    date_key date not null references mart.dim_dates (date_key),
    hour integer not null,
    orders bigint not null,
    net_revenue_cents bigint not null,
    primary key (date_key, hour)
);

-- In a warehouse that has facts already.
insert into mart.daily_hours (date_key, hour, orders, net_revenue_cents)
select
    f.date_key,
    extract(hour from f.placed_at at time zone s.time_zone)::integer as hour,
    count(distinct f.order_id) as orders,
    sum(f.net_revenue_cents) as net_revenue_cents
from mart.fact_transactions as f
cross join etl.shop as s
where f.counts
group by 1, 2;
