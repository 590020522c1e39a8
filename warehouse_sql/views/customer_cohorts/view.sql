-- Grain: one row per month of first orders and number of months since.
drop materialized view if exists mart.customer_cohorts;
create materialized view mart.customer_cohorts as
select
    a.cohort_start_date,
    f.customers as cohort_customers,
    a.customers,
    a.orders,
    a.net_revenue_cents,
    a.lifetime_value_cents,
    (
        extract(year from age(a.month_start_date, a.cohort_start_date)) * 12
        + extract(month from age(a.month_start_date, a.cohort_start_date))
    )::int as months_since
from mart.cohort_months as a
inner join mart.cohort_months as f
    on a.cohort_start_date = f.cohort_start_date and f.month_start_date = f.cohort_start_date;

create unique index customer_cohorts_key
on mart.customer_cohorts (cohort_start_date, months_since);
