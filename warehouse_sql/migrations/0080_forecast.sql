-- Grain: one row per forecast day, as of the last forecast.
create table etl.revenue_forecast (
    forecast_date date primary key,
    net_revenue_cents bigint not null,
    low_80_cents bigint not null,
    high_80_cents bigint not null,
    low_95_cents bigint not null,
    high_95_cents bigint not null,
    method text not null,
    trained_until_date date not null,
    made_at timestamptz not null default now()
);

-- Grain: one row per last day that was known, and method.
create table etl.revenue_forecast_quality (
    trained_until_date date not null,
    method text not null,
    is_published boolean not null,
    tested_days integer not null,
    error_cents bigint not null,
    revenue_cents bigint not null,
    within_80_days integer not null,
    within_95_days integer not null,
    made_at timestamptz not null default now(),
    primary key (trained_until_date, method)
);
