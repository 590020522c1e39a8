-- Keys in chosen_<entity>, which a replay recomputes even if no row has changed.
insert into affected_suppliers (supplier_id)
select c.row_key from chosen_suppliers as c
on conflict do nothing;

insert into affected_products (product_id)
select c.row_key from chosen_products as c
on conflict do nothing;

insert into affected_customers (customer_id)
select c.row_key from chosen_customers as c
on conflict do nothing;

insert into affected_orders (order_id)
select c.row_key from chosen_orders as c
union
select e.order_id
from entity.order_lines as e
inner join chosen_order_lines as c on e.order_line_id = c.row_key
union
select f.order_id
from mart.fact_transactions as f
inner join chosen_order_lines as c on f.order_line_id = c.row_key
union
select e.order_id
from entity.payments as e
inner join chosen_payments as c on e.payment_id = c.row_key
where e.kind = 'refund'
on conflict do nothing;

insert into affected_payments (payment_id)
select c.row_key from chosen_payments as c
on conflict do nothing;

insert into affected_interactions (interaction_id)
select c.row_key from chosen_interactions as c
on conflict do nothing;

insert into affected_stocks (product_id, warehouse_code, from_date)
select distinct
    e.product_id,
    e.warehouse_code,
    date '-infinity' as from_date
from entity.stock_movements as e
inner join chosen_stock_movements as c on e.movement_id = c.row_key
on conflict (product_id, warehouse_code) do update
    set from_date = excluded.from_date;

-- All days of their facts: a fact may be stored under a wrong day.
insert into fact_dates (fact, date_key)
select distinct
    'fact_transactions' as fact,
    f.date_key
from mart.fact_transactions as f
inner join affected_orders as t on f.order_id = t.order_id
union
select distinct
    'fact_payments' as fact,
    f.date_key
from mart.fact_payments as f
inner join affected_payments as t on f.payment_id = t.payment_id
union
select distinct
    'fact_user_interactions' as fact,
    f.date_key
from mart.fact_user_interactions as f
inner join affected_interactions as t on f.interaction_id = t.interaction_id
on conflict do nothing;
