-- A rebuild recomputes all keys: those of the entities, and those that only the mart has.
insert into affected_suppliers (supplier_id)
select e.supplier_id from entity.suppliers as e
union
select d.supplier_key from mart.dim_suppliers as d
where d.supplier_key >= 0
on conflict do nothing;

insert into affected_products (product_id)
select e.product_id from entity.products_history as e
union
select d.product_id from mart.dim_products as d
where d.product_id is not null
on conflict do nothing;

insert into affected_customers (customer_id)
select e.customer_id from entity.customers_history as e
union
select d.customer_id from mart.dim_customers as d
where d.customer_id is not null
on conflict do nothing;

insert into affected_orders (order_id)
select e.order_id from entity.orders as e
union
select e.order_id from entity.order_lines as e
union
select f.order_id from mart.fact_transactions as f
on conflict do nothing;

insert into affected_payments (payment_id)
select e.payment_id from entity.payments as e
union
select f.payment_id from mart.fact_payments as f
on conflict do nothing;

insert into affected_interactions (interaction_id)
select e.interaction_id from entity.interactions as e
union
select f.interaction_id from mart.fact_user_interactions as f
on conflict do nothing;

insert into affected_stocks (product_id, warehouse_code, from_date)
select
    m.product_id,
    m.warehouse_code,
    '-infinity' as from_date
from (
    select distinct
        e.product_id,
        e.warehouse_code
    from entity.stock_movements as e
    union
    select distinct
        f.product_id,
        f.warehouse_code
    from mart.fact_stocks as f
) as m
on conflict (product_id, warehouse_code) do update
    set from_date = excluded.from_date;

-- All days of facts: a fact may be stored under a wrong day.
insert into fact_dates (fact, date_key)
select distinct
    'fact_transactions' as fact,
    f.date_key
from mart.fact_transactions as f
union
select distinct
    'fact_payments' as fact,
    f.date_key
from mart.fact_payments as f
union
select distinct
    'fact_user_interactions' as fact,
    f.date_key
from mart.fact_user_interactions as f
on conflict do nothing;
