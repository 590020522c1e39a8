-- A rebuild sums all days again: those of facts, and those that sums are there for.
insert into affected_days (fact, date_key)
select distinct
    'fact_transactions' as fact,
    f.date_key
from mart.fact_transactions as f
union
select distinct
    'fact_transactions' as fact,
    d.date_key
from mart.daily_sales as d
union
select distinct
    'fact_transactions' as fact,
    d.date_key
from mart.daily_orders as d
union
select distinct
    'fact_transactions' as fact,
    d.date_key
from mart.daily_geography as d
union
select distinct
    'fact_user_interactions' as fact,
    f.date_key
from mart.fact_user_interactions as f
union
select distinct
    'fact_user_interactions' as fact,
    d.date_key
from mart.daily_products as d
union
select distinct
    'fact_user_interactions' as fact,
    d.date_key
from mart.daily_behaviour as d
on conflict do nothing;

-- And all months of customers that sums are there for; those of facts are affected already.
insert into affected_customer_months (customer_id, month_start_date)
select
    m.customer_id,
    m.month_start_date
from mart.customer_months as m
on conflict do nothing;

-- A total without any month would not be found by these.
delete from mart.customer_totals as c
where not exists (
    select
    from mart.customer_months as m
    where m.customer_id = c.customer_id
);
