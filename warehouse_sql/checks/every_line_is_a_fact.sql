-- check: every_line_is_a_fact | severity: fail
-- Entity and fact have the same lines. Rows: lines of the load's orders that are in only one.
with in_entity as (
    select l.order_line_id
    from affected_orders as t
    inner join entity.order_lines as l on t.order_id = l.order_id
),

in_fact as (
    select f.order_line_id
    from affected_orders as t
    inner join mart.fact_transactions as f on t.order_id = f.order_id
    where f.date_key = any(etl.affected_dates('fact_transactions'))
)

select
    e.order_line_id as entity_line_id,
    f.order_line_id as fact_line_id
from in_entity as e
full outer join in_fact as f on e.order_line_id = f.order_line_id
where e.order_line_id is null or f.order_line_id is null;
