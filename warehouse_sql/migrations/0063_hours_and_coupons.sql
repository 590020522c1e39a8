-- A migration, since what there is already is computed from orders, and by the shop's time zone.
create table mart.daily_hours (
    date_key date not null references mart.dim_dates (date_key),
    hour integer not null,
    orders bigint not null,
    net_revenue_cents bigint not null,
    primary key (date_key, hour)
);

insert into mart.daily_hours (date_key, hour, orders, net_revenue_cents)
select
    f.date_key,
    extract(hour from f.placed_at at time zone s.time_zone)::integer as hour,
    count(distinct f.order_id) as orders,
    sum(f.net_revenue_cents) as net_revenue_cents
from mart.fact_transactions as f
cross join etl.shop as s
where f.counts
group by f.date_key, extract(hour from f.placed_at at time zone s.time_zone);

create table mart.daily_coupons (
    date_key date not null references mart.dim_dates (date_key),
    coupon text not null,
    orders bigint not null,
    net_revenue_cents bigint not null,
    discount_cents bigint not null,
    margin_cents bigint,
    primary key (date_key, coupon)
);

insert into mart.daily_coupons (
    date_key, coupon, orders, net_revenue_cents, discount_cents, margin_cents
)
select
    f.date_key,
    left(coalesce(o.coupon_code, 'none'), 100) as coupon,
    count(distinct f.order_id) as orders,
    sum(f.net_revenue_cents) as net_revenue_cents,
    sum(f.discount_cents) as discount_cents,
    sum(f.margin_cents) as margin_cents
from mart.fact_transactions as f
inner join entity.orders as o on f.order_id = o.order_id
where f.counts
group by f.date_key, left(coalesce(o.coupon_code, 'none'), 100);
