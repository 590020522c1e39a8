-- Dimensions. Member -1 is the unknown one: not seen yet. Member -2 is none: there is none, as with
-- a visitor who has not signed in.

-- Grain: one row per day. Whole years, of all days on which something happened. Day 0001-01-01 is
-- the unknown one.
create table mart.dim_dates (
    date_key date primary key,
    year integer not null,
    quarter integer not null,
    month integer not null,
    day integer not null,
    day_of_year integer not null,
    iso_year integer not null,
    iso_week integer not null,
    weekday integer not null,
    weekday_name text not null,
    month_name text not null,
    is_weekend boolean not null,
    month_start_date date not null,
    week_start_date date not null,
    quarter_start_date date not null
);

-- Grain: one row per supplier.
create table mart.dim_suppliers (
    supplier_key bigint primary key,
    name text not null,
    country text,
    city text,
    lead_time_days bigint
);

-- Grain: one row per version of a product, by what this table says of it.
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

-- Grain: one row per version of an account, by what this table says of it. Names, addresses and
-- numbers stay out: charts need none of them, and everybody may read the mart.
create table mart.dim_customers (
    customer_key bigint primary key,
    customer_id bigint,
    person_key text,
    birth_year integer,
    city text not null,
    region text not null,
    region_code text,
    country text not null,
    latitude double precision,
    longitude double precision,
    accepts_marketing boolean,
    customer_since_at timestamptz,
    valid_from_at timestamptz not null,
    valid_to_at timestamptz check (valid_to_at > valid_from_at),
    is_current boolean not null
);

create index dim_customers_version_idx on mart.dim_customers (customer_id, valid_from_at);

insert into mart.dim_dates (
    date_key, year, quarter, month, day, day_of_year, iso_year, iso_week, weekday, weekday_name,
    month_name, is_weekend, month_start_date, week_start_date, quarter_start_date
)
values (
    '0001-01-01', 1, 1, 1, 1, 1, 1, 1, 1, 'unknown',
    'unknown', false, '0001-01-01', '0001-01-01', '0001-01-01'
);

insert into mart.dim_suppliers (supplier_key, name)
values (-1, 'unknown');

insert into mart.dim_products (
    product_key, supplier_key, name, category, brand, valid_from_at, is_current
)
values
(-1, -1, 'unknown', 'unknown', 'unknown', '-infinity', true),
(-2, -1, 'none', 'none', 'none', '-infinity', true);

insert into mart.dim_customers (
    customer_key, city, region, country, valid_from_at, is_current
)
values
(-1, 'unknown', 'unknown', 'unknown', '-infinity', true),
(-2, 'none', 'none', 'none', '-infinity', true);
