-- A rebuild sums all days again: those of facts, and those that sums are there for.
insert into touched_days (fact, date_key)
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
