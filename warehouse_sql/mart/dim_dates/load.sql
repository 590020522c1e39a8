-- Grain: one row per day, for the whole years of all days of this load's facts.
select etl.ensure_dates(array_agg(d.day))
from (
    select c.placed_date as day from changed_orders as c
    union
    select c.created_date as day from changed_payments as c
    union
    select c.occurred_date as day from changed_interactions as c
    union
    select c.occurred_date as day from changed_stock_movements as c
) as d
where d.day is not null
having count(*) > 0;
