-- A replay recomputes the sums of its facts' days, even if the facts do not change.
insert into affected_days (fact, date_key)
select
    p.fact,
    p.date_key
from fact_dates as p
where p.fact in ('fact_transactions', 'fact_user_interactions')
on conflict do nothing;
