-- check: members_are_known | severity: warn
-- Orders refer to a customer or product that is missing: not loaded yet, or quarantined.
-- Rows: such lines of the load, by the missing dimension.
select
    f.order_line_id,
    f.product_id,
    f.customer_id,
    f.product_key = -1 as lacks_product,
    f.customer_key = -1 as lacks_customer
from affected_orders as t
inner join mart.fact_transactions as f on t.order_id = f.order_id
where
    f.date_key = any(etl.affected_dates('fact_transactions'))
    and f.placed_at is not null
    and (f.product_key = -1 or f.customer_key = -1);
