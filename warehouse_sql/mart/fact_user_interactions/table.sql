create table mart.fact_user_interactions (
    interaction_id bigint not null,
    date_key date not null references mart.dim_dates (date_key),
    customer_key bigint not null references mart.dim_customers (customer_key),
    product_key bigint not null references mart.dim_products (product_key),
    customer_id bigint,
    product_id bigint,
    session_id text not null,
    interaction_type text not null,
    device text not null,
    referrer text,
    rating bigint,
    occurred_at timestamptz not null,
    primary key (interaction_id, date_key)
) partition by range (date_key);

create table mart.fact_user_interactions_default partition of mart.fact_user_interactions default;
create index fact_user_interactions_date_idx on mart.fact_user_interactions (date_key, device);
create index fact_user_interactions_customer_idx on mart.fact_user_interactions (customer_key);
create index fact_user_interactions_product_idx on mart.fact_user_interactions (product_key);
