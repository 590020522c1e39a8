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

insert into mart.dim_customers (
    customer_key, city, region, country, valid_from_at, is_current
)
values
(-1, 'unknown', 'unknown', 'unknown', '-infinity', true),
(-2, 'none', 'none', 'none', '-infinity', true);
