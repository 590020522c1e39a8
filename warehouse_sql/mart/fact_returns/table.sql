create table mart.fact_returns (
    return_id bigint not null,
    order_id bigint not null,
    order_line_id bigint not null,
    date_key date not null references mart.dim_dates (date_key),
    product_key bigint not null references mart.dim_products (product_key),
    customer_key bigint not null references mart.dim_customers (customer_key),
    product_id bigint,
    customer_id bigint,
    returned_at timestamptz not null,
    reason text not null,
    condition text not null,
    units bigint not null,
    ship_country text,
    currency text,
    refund_cents bigint not null,
    base_refund_cents bigint,
    primary key (return_id, date_key)
) partition by range (date_key);

create table mart.fact_returns_default partition of mart.fact_returns default;
create index fact_returns_date_idx on mart.fact_returns (date_key, reason);
create index fact_returns_product_idx on mart.fact_returns (product_key);
create index fact_returns_customer_idx on mart.fact_returns (customer_key);
