create table mart.fact_payments (
    payment_id bigint not null,
    order_id bigint not null,
    date_key date not null references mart.dim_dates (date_key),
    customer_key bigint not null references mart.dim_customers (customer_key),
    customer_id bigint,
    created_at timestamptz not null,
    settled_at timestamptz,
    kind text not null,
    method text not null,
    status text not null,
    ship_country text,
    currency text not null,
    amount_cents bigint not null,
    base_amount_cents bigint,
    primary key (payment_id, date_key)
) partition by range (date_key);

create table mart.fact_payments_default partition of mart.fact_payments default
with (fillfactor = 90);
create index fact_payments_date_idx on mart.fact_payments (date_key, method);
create index fact_payments_customer_idx on mart.fact_payments (customer_key);
