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
