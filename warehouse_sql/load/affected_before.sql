-- Keys affected by the rows that are about to change, in their old and new versions.
insert into affected_suppliers (supplier_id)
select c.supplier_id from changed_suppliers as c
on conflict do nothing;

insert into affected_products (product_id)
select c.product_id from changed_products_history as c
on conflict do nothing;

insert into affected_customers (customer_id)
select c.customer_id from changed_customers_history as c
on conflict do nothing;

insert into affected_orders (order_id)
select c.order_id from changed_orders as c
union
select c.order_id from changed_order_lines as c
where c.order_id is not null
union
select l.order_id
from entity.order_lines as l
inner join changed_order_lines as c on l.order_line_id = c.order_line_id
union
select c.order_id from changed_payments as c
where c.kind = 'refund'
union
select p.order_id
from entity.payments as p
inner join changed_payments as c on p.payment_id = c.payment_id
where p.kind = 'refund'
union
select s.order_id from etl.stale_order as s
on conflict do nothing;

delete from etl.stale_order;

insert into affected_payments (payment_id)
select c.payment_id from changed_payments as c
on conflict do nothing;

insert into affected_interactions (interaction_id)
select c.interaction_id from changed_interactions as c
on conflict do nothing;

insert into affected_stocks (product_id, warehouse_code, from_date)
select
    m.product_id,
    m.warehouse_code,
    min(m.occurred_date) as from_date
from (
    select
        c.product_id,
        c.warehouse_code,
        c.occurred_date
    from changed_stock_movements as c
    where not c._is_deleted
    union all
    select
        e.product_id,
        e.warehouse_code,
        e.occurred_date
    from entity.stock_movements as e
    inner join changed_stock_movements as c on e.movement_id = c.movement_id
) as m
group by m.product_id, m.warehouse_code;

-- Facts of changed rows are stored under the rows' current days; those without an order under the
-- unknown day.
insert into fact_dates (fact, date_key)
select
    'fact_transactions' as fact,
    date '0001-01-01' as date_key
union
select distinct
    'fact_transactions' as fact,
    e.placed_date as date_key
from entity.orders as e
inner join changed_orders as c on e.order_id = c.order_id
union
select distinct
    'fact_payments' as fact,
    e.created_date as date_key
from entity.payments as e
inner join changed_payments as c on e.payment_id = c.payment_id
union
select distinct
    'fact_user_interactions' as fact,
    e.occurred_date as date_key
from entity.interactions as e
inner join changed_interactions as c on e.interaction_id = c.interaction_id;
