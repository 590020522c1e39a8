-- Before the load's transaction, and in one of its own: making a partition keeps readers out for as
-- long as its transaction lasts, and whoever reads keeps it waiting (batch/warehouse/locks.py). An
-- empty partition is nothing that a reader could see.
select etl.ensure_partitions('mart.fact_transactions', array_agg(distinct c.placed_date))
from changed_orders as c;

select etl.ensure_partitions('mart.fact_payments', array_agg(distinct c.created_date))
from changed_payments as c;

select etl.ensure_partitions('mart.fact_user_interactions', array_agg(distinct c.occurred_date))
from changed_interactions as c;

select etl.ensure_partitions('mart.fact_stocks', array_agg(distinct c.occurred_date))
from changed_stock_movements as c;
