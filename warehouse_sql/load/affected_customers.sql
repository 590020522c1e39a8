-- Customers' months with an order that is about to change, or that has just done so: run before
-- the facts are replaced and afterwards, since an order may have moved.
insert into affected_customer_months (customer_id, month_start_date)
select distinct
    f.customer_id,
    date_trunc('month', f.date_key::timestamp)::date as month_start_date
from affected_orders as t
inner join mart.fact_transactions as f on t.order_id = f.order_id
where
    f.date_key = any(etl.affected_dates('fact_transactions'))
    and f.customer_id is not null
    and f.placed_at is not null
on conflict do nothing;
