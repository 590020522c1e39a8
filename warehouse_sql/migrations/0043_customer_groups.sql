-- Segments and cohorts of customers are sums of few rows, to which a load adds the difference that
-- its customers make. They were computed from all customers and all of their months.

-- Country of the customer's current address, so that a load knows where they were counted before.
alter table mart.customer_totals add column country text not null default 'unknown';

update mart.customer_totals as t
set country = d.country
from (
    select distinct on (c.customer_id)
        c.customer_id,
        c.country
    from mart.dim_customers as c
    where c.customer_id is not null
    order by c.customer_id asc, c.valid_from_at desc
) as d
where t.customer_id = d.customer_id;

-- Grain: one row per day of the last order, frequency score, monetary score and country.
create table mart.customer_groups (
    last_order_date date not null,
    frequency_score integer not null,
    monetary_score integer not null,
    country text not null,
    customers bigint not null check (customers >= 0),
    repeat_customers bigint not null,
    orders bigint not null,
    net_revenue_cents bigint not null,
    lifetime_value_cents bigint not null,
    primary key (last_order_date, frequency_score, monetary_score, country)
);

insert into mart.customer_groups (
    last_order_date, frequency_score, monetary_score, country, customers, repeat_customers, orders,
    net_revenue_cents, lifetime_value_cents
)
select
    t.last_order_date,
    1
    + (t.orders >= 2)::int + (t.orders >= 3)::int + (t.orders >= 5)::int + (t.orders >= 10)::int
        as frequency_score,
    1
    + (t.total_cents - t.refund_cents >= 5000)::int
    + (t.total_cents - t.refund_cents >= 15000)::int
    + (t.total_cents - t.refund_cents >= 50000)::int
    + (t.total_cents - t.refund_cents >= 150000)::int as monetary_score,
    t.country,
    count(*) as customers,
    count(*) filter (where t.orders > 1) as repeat_customers,
    sum(t.orders) as orders,
    sum(t.net_revenue_cents) as net_revenue_cents,
    sum(t.total_cents - t.refund_cents) as lifetime_value_cents
from mart.customer_totals as t
group by t.last_order_date, frequency_score, monetary_score, t.country;

-- Grain: one row per month of first orders and later month.
create table mart.cohort_months (
    cohort_start_date date not null,
    month_start_date date not null,
    customers bigint not null check (customers >= 0),
    orders bigint not null,
    net_revenue_cents bigint not null,
    lifetime_value_cents bigint not null,
    primary key (cohort_start_date, month_start_date)
);

insert into mart.cohort_months (
    cohort_start_date, month_start_date, customers, orders, net_revenue_cents, lifetime_value_cents
)
select
    date_trunc('month', t.first_order_date::timestamp)::date as cohort_start_date,
    m.month_start_date,
    count(*) as customers,
    sum(m.orders) as orders,
    sum(m.net_revenue_cents) as net_revenue_cents,
    sum(m.total_cents - m.refund_cents) as lifetime_value_cents
from mart.customer_months as m
inner join mart.customer_totals as t on m.customer_id = t.customer_id
group by cohort_start_date, m.month_start_date;
