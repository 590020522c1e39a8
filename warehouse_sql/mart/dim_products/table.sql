create table mart.dim_products (
    product_key bigint primary key,
    product_id bigint,
    supplier_key bigint not null references mart.dim_suppliers (supplier_key),
    supplier_id bigint,
    sku text,
    name text not null,
    category text not null,
    brand text not null,
    price_cents bigint,
    cost_cents bigint,
    weight_grams bigint,
    is_active boolean,
    valid_from_at timestamptz not null,
    valid_to_at timestamptz check (valid_to_at > valid_from_at),
    is_current boolean not null
);

create index dim_products_supplier_key_idx on mart.dim_products (supplier_key);
create index dim_products_version_idx on mart.dim_products (product_id, valid_from_at);

insert into mart.dim_products (
    product_key, supplier_key, name, category, brand, valid_from_at, is_current
)
values
(-1, -1, 'unknown', 'unknown', 'unknown', '-infinity', true),
(-2, -1, 'none', 'none', 'none', '-infinity', true);
