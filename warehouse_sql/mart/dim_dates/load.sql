-- Grain: one row per day, for the whole years of all days of this load's facts.
select etl.ensure_dates(array_agg(distinct p.date_key))
from fact_dates as p
where p.date_key > date '0001-01-01'
having count(*) > 0;
