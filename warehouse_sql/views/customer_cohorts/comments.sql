comment on materialized view mart.customer_cohorts
is 'Customers who ordered for the first time in the same month, one row per such month and number '
'of months since, in which they ordered again.';
comment on column mart.customer_cohorts.cohort_start_date is 'First day of their first month.';
comment on column mart.customer_cohorts.months_since is 'Months since then; 0 is that month.';
comment on column mart.customer_cohorts.cohort_customers
is 'Customers who ordered for the first time in that month.';
comment on column mart.customer_cohorts.customers
is 'Customers of the cohort who ordered in this month.';
comment on column mart.customer_cohorts.lifetime_value_cents
is 'total_cents - refund_cents of their orders in this month, in cents of the base currency.';
