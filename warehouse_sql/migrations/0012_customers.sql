-- What charts of customers and of orders are drawn from, computed again for what a load touches
-- only. Names are those of the metric dictionary; orders that do not count are left out.

-- Grain: one row per day, country of delivery and channel. Unlike in daily_sales, orders add up.
create table mart.daily_orders (
    date_key date not null references mart.dim_dates (date_key),
    ship_country text not null,
    channel text not null,
    orders bigint not null,
    units bigint not null,
    net_revenue_cents bigint not null,
    total_cents bigint not null,
    refund_cents bigint not null,
    primary key (date_key, ship_country, channel)
);

-- Grain: one row per customer and month in which they ordered.
create table mart.customer_months (
    customer_id bigint not null,
    month_start_date date not null,
    first_order_date date not null,
    last_order_date date not null,
    orders bigint not null,
    units bigint not null,
    net_revenue_cents bigint not null,
    total_cents bigint not null,
    refund_cents bigint not null,
    primary key (customer_id, month_start_date)
);

-- Grain: one row per customer with an order that counts.
create table mart.customer_totals (
    customer_id bigint not null primary key,
    first_order_date date not null,
    last_order_date date not null,
    orders bigint not null,
    units bigint not null,
    net_revenue_cents bigint not null,
    total_cents bigint not null,
    refund_cents bigint not null
);

-- What is there already is summed once, as a load will do for what it touches.
insert into mart.daily_orders (
    date_key, ship_country, channel, orders, units, net_revenue_cents, total_cents, refund_cents
)
select
    f.date_key,
    f.ship_country,
    f.channel,
    count(distinct f.order_id) as orders,
    sum(f.units) as units,
    sum(f.net_revenue_cents) as net_revenue_cents,
    sum(f.total_cents) as total_cents,
    sum(f.refund_cents) as refund_cents
from mart.fact_transactions as f
where f.counts
group by f.date_key, f.ship_country, f.channel;

insert into mart.customer_months (
    customer_id, month_start_date, first_order_date, last_order_date, orders, units,
    net_revenue_cents, total_cents, refund_cents
)
select
    f.customer_id,
    date_trunc('month', f.date_key::timestamp)::date as month_start_date,
    min(f.date_key) as first_order_date,
    max(f.date_key) as last_order_date,
    count(distinct f.order_id) as orders,
    sum(f.units) as units,
    sum(f.net_revenue_cents) as net_revenue_cents,
    sum(f.total_cents) as total_cents,
    sum(f.refund_cents) as refund_cents
from mart.fact_transactions as f
where f.counts and f.customer_id is not null
group by f.customer_id, month_start_date;

insert into mart.customer_totals (
    customer_id, first_order_date, last_order_date, orders, units, net_revenue_cents, total_cents,
    refund_cents
)
select
    m.customer_id,
    min(m.first_order_date) as first_order_date,
    max(m.last_order_date) as last_order_date,
    sum(m.orders) as orders,
    sum(m.units) as units,
    sum(m.net_revenue_cents) as net_revenue_cents,
    sum(m.total_cents) as total_cents,
    sum(m.refund_cents) as refund_cents
from mart.customer_months as m
group by m.customer_id;
