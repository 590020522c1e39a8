create table mart.cohort_months (
    cohort_start_date date not null,
    month_start_date date not null,
    customers bigint not null check (customers >= 0),
    orders bigint not null,
    net_revenue_cents bigint not null,
    lifetime_value_cents bigint not null,
    primary key (cohort_start_date, month_start_date)
);
