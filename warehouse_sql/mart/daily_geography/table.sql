create table mart.daily_geography (
    date_key date not null references mart.dim_dates (date_key),
    ship_country text not null,
    ship_region text not null,
    ship_region_code text,
    orders bigint not null,
    units bigint not null,
    net_revenue_cents bigint not null,
    total_cents bigint not null,
    refund_cents bigint not null,
    margin_cents bigint,
    primary key (date_key, ship_country, ship_region)
);
