create table mart.daily_sales (
    date_key date not null references mart.dim_dates (date_key),
    ship_country text not null,
    channel text not null,
    category text not null,
    orders bigint not null,
    units bigint not null,
    gross_revenue_cents bigint not null,
    discount_cents bigint not null,
    net_revenue_cents bigint not null,
    shipping_cents bigint not null,
    tax_cents bigint not null,
    total_cents bigint not null,
    refund_cents bigint not null,
    cost_cents bigint,
    margin_cents bigint,
    primary key (date_key, ship_country, channel, category)
);
