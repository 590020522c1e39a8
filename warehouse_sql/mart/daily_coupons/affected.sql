-- A coupon is in no fact: all days of changed orders are affected, whether facts differ or not.
insert into affected_days (fact, date_key)
select
    d.fact,
    d.date_key
from fact_dates as d
where d.fact = 'fact_transactions'
on conflict do nothing;
