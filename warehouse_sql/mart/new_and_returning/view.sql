-- Grain: one row per month, for new and for returning customers. A customer is new in the month of
-- their first order.
create or replace view mart.new_and_returning as
select
    c.month_start_date,
    case when c.month_start_date = c.cohort_start_date then 'new' else 'returning' end as kind,
    sum(c.customers)::bigint as customers,
    sum(c.orders)::bigint as orders,
    sum(c.net_revenue_cents)::bigint as net_revenue_cents
from mart.cohort_months as c
group by 1, 2;
