create table mart.daily_hours (
    date_key date not null references mart.dim_dates (date_key),
    hour integer not null,
    orders bigint not null,
    net_revenue_cents bigint not null,
    primary key (date_key, hour)
);
