-- A rebuild recomputes the sums of all days: those of facts, and those of existing sums.
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

-- All months of customers with existing sums; those of facts are affected already.
insert into affected_customer_months (customer_id, month_start_date)
select
    m.customer_id,
    m.month_start_date
from mart.customer_months as m
on conflict do nothing;

-- Totals without any month.
delete from mart.customer_totals as c
where not exists (
    select
    from mart.customer_months as m
    where m.customer_id = c.customer_id
);
