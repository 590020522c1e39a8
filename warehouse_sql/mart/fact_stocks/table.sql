create table mart.fact_stocks (
    product_id bigint not null,
    warehouse_code text not null,
    date_key date not null references mart.dim_dates (date_key),
    product_key bigint not null references mart.dim_products (product_key),
    last_movement_at timestamptz not null,
    opening_units bigint not null,
    received_units bigint not null,
    sold_units bigint not null,
    returned_units bigint not null,
    adjusted_units bigint not null,
    closing_units bigint not null,
    primary key (product_id, warehouse_code, date_key)
) partition by range (date_key);

create table mart.fact_stocks_default partition of mart.fact_stocks default;
create index fact_stocks_date_idx on mart.fact_stocks (date_key);
create index fact_stocks_product_idx on mart.fact_stocks (product_key);
