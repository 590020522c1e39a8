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
