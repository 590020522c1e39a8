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
