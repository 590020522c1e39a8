create table mart.customer_totals (
    customer_id bigint not null primary key,
    first_order_date date not null,
    last_order_date date not null,
    orders bigint not null,
    units bigint not null,
    net_revenue_cents bigint not null,
    total_cents bigint not null,
    refund_cents bigint not null,
    country text not null default 'unknown'
);
