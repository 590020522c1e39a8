create table mart.dim_suppliers (
    supplier_key bigint primary key,
    name text not null,
    country text,
    city text,
    lead_time_days bigint
);

insert into mart.dim_suppliers (supplier_key, name)
values (-1, 'unknown');
