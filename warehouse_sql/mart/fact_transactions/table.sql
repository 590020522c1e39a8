create table mart.fact_transactions (
    order_line_id bigint not null,
    order_id bigint not null,
    line_number bigint not null,
    date_key date not null references mart.dim_dates (date_key),
    product_key bigint not null references mart.dim_products (product_key),
    customer_key bigint not null references mart.dim_customers (customer_key),
    product_id bigint not null,
    customer_id bigint,
    placed_at timestamptz,
    counts boolean not null,
    status text,
    channel text,
    currency text,
    ship_country text,
    ship_region text,
    ship_region_code text,
    ship_city text,
    warehouse_code text not null,
    units bigint not null,
    gross_revenue_cents bigint,
    discount_cents bigint,
    net_revenue_cents bigint,
    shipping_cents bigint,
    tax_cents bigint,
    total_cents bigint,
    refund_cents bigint,
    cost_cents bigint,
    margin_cents bigint,
    primary key (order_line_id, date_key)
) partition by range (date_key);

create table mart.fact_transactions_default partition of mart.fact_transactions default
with (fillfactor = 90);
create index fact_transactions_date_idx on mart.fact_transactions (date_key, ship_country);
create index fact_transactions_order_idx on mart.fact_transactions (order_id);
create index fact_transactions_product_idx on mart.fact_transactions (product_key);
create index fact_transactions_customer_idx on mart.fact_transactions (customer_key);
