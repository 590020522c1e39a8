-- Grain: one row per month of first orders and number of months since.
drop materialized view if exists mart.customer_cohorts;
create materialized view mart.customer_cohorts as
with active as (
    select
        m.month_start_date,
        date_trunc('month', t.first_order_date::timestamp)::date as cohort_start_date,
        count(*) as customers,
        sum(m.orders)::bigint as orders,
        sum(m.net_revenue_cents)::bigint as net_revenue_cents,
        sum(m.total_cents - m.refund_cents)::bigint as lifetime_value_cents
    from mart.customer_months as m
    inner join mart.customer_totals as t on m.customer_id = t.customer_id
    group by cohort_start_date, m.month_start_date
)

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
from active as a
inner join active as f
    on a.cohort_start_date = f.cohort_start_date and f.month_start_date = f.cohort_start_date;

create unique index customer_cohorts_key
on mart.customer_cohorts (cohort_start_date, months_since);
