-- Runs before the load, in a transaction of its own: creating a partition locks readers out until
-- its transaction ends, and waits for running readers (batch/warehouse/locks.py). An empty
-- partition is invisible to readers.
select etl.ensure_partitions('mart.fact_transactions', array_agg(distinct c.placed_date))
from changed_orders as c;

select etl.ensure_partitions('mart.fact_payments', array_agg(distinct c.created_date))
from changed_payments as c;

select etl.ensure_partitions('mart.fact_user_interactions', array_agg(distinct c.occurred_date))
from changed_interactions as c;

select etl.ensure_partitions('mart.fact_stocks', array_agg(distinct c.occurred_date))
from changed_stock_movements as c;
