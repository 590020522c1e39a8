-- Grain: one row per month with a target. People write it; no load does.
create table etl.target (
    month_start_date date primary key check (extract(day from month_start_date) = 1),
    net_revenue_cents bigint not null check (net_revenue_cents > 0)
);
