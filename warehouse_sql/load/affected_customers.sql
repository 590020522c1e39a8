-- Customers' months with an order that is about to change or has changed: runs before and after the
-- facts are replaced, since an order may belong to another month or customer afterwards.
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
