-- Grain: one row per order with a source row beyond the warehouse, or with a line of a product with
-- such a version: the warehouse's lines of these orders are outdated.
create or replace function live.affected_orders()
returns setof /* order_id */ bigint
language sql
stable
as $$
select b.order_id
from live.beyond_orders as b
union
select b.order_id
from live.beyond_order_lines as b
where b.order_id is not null
union
select e.order_id
from live.beyond_order_lines as b
inner join entity.order_lines as e on b.order_line_id = e.order_line_id
union
select b.order_id
from live.beyond_payments as b
where b.kind = 'refund'
union
select e.order_id
from live.beyond_payments as b
inner join entity.payments as e on b.payment_id = e.payment_id
where e.kind = 'refund'
union
select f.order_id
from live.beyond_products_history as b
inner join mart.dim_products as d on b.product_id = d.product_id
inner join mart.fact_transactions as f on d.product_key = f.product_key
where
    f.date_key >= case when b._is_first then '-infinity' else b.valid_from_at::date - 2 end
    and (b._is_first or f.placed_at >= b.valid_from_at)
union
-- Lines whose product was missing.
select f.order_id
from live.beyond_products_history as b
inner join mart.fact_transactions as f on b.product_id = f.product_id
where f.product_key = -1
$$;
