create table mart.daily_products (
    date_key date not null references mart.dim_dates (date_key),
    product_id bigint not null,
    views bigint not null,
    carts bigint not null,
    orders bigint not null,
    units bigint not null,
    gross_revenue_cents bigint not null,
    net_revenue_cents bigint not null,
    refund_cents bigint not null,
    cost_cents bigint,
    margin_cents bigint,
    primary key (date_key, product_id)
);
