-- A replay sums the days of its facts again, even where these are right.
insert into affected_days (fact, date_key)
select
    p.fact,
    p.date_key
from fact_dates as p
where p.fact in ('fact_transactions', 'fact_user_interactions')
on conflict do nothing;
