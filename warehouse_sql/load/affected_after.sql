-- Facts affected by rows that they refer to, after entities and dimensions were updated.
insert into affected_orders (order_id)
select f.order_id
from mart.fact_transactions as f
inner join rekeyed_products as m on f.product_key = m.product_key
where f.date_key >= m.from_at::date - 2 and f.placed_at >= m.from_at
union
select f.order_id
from mart.fact_transactions as f
inner join rekeyed_customers as m on f.customer_key = m.customer_key
where f.date_key >= m.from_at::date - 2 and f.placed_at >= m.from_at
union
select f.order_id
from mart.fact_transactions as f
inner join affected_products as t on f.product_id = t.product_id
where f.product_key = -1 and f.placed_at is not null
union
select f.order_id
from mart.fact_transactions as f
inner join affected_customers as t on f.customer_id = t.customer_id
where f.customer_key = -1
on conflict do nothing;

insert into affected_payments (payment_id)
select p.payment_id
from entity.payments as p
inner join changed_orders as c on p.order_id = c.order_id
union
select f.payment_id
from mart.fact_payments as f
inner join rekeyed_customers as m on f.customer_key = m.customer_key
where f.date_key >= m.from_at::date - 2 and f.created_at >= m.from_at
union
select f.payment_id
from mart.fact_payments as f
inner join affected_customers as t on f.customer_id = t.customer_id
where f.customer_key = -1
on conflict do nothing;

insert into affected_interactions (interaction_id)
select f.interaction_id
from mart.fact_user_interactions as f
inner join rekeyed_products as m on f.product_key = m.product_key
where f.date_key >= m.from_at::date - 2 and f.occurred_at >= m.from_at
union
select f.interaction_id
from mart.fact_user_interactions as f
inner join rekeyed_customers as m on f.customer_key = m.customer_key
where f.date_key >= m.from_at::date - 2 and f.occurred_at >= m.from_at
union
select f.interaction_id
from mart.fact_user_interactions as f
inner join affected_products as t on f.product_id = t.product_id
where f.product_key = -1
union
select f.interaction_id
from mart.fact_user_interactions as f
inner join affected_customers as t on f.customer_id = t.customer_id
where f.customer_key = -1
on conflict do nothing;

insert into affected_stocks (product_id, warehouse_code, from_date)
select
    s.product_id,
    s.warehouse_code,
    min(s.date_key) as from_date
from (
    select
        f.product_id,
        f.warehouse_code,
        f.date_key
    from mart.fact_stocks as f
    inner join rekeyed_products as m on f.product_key = m.product_key
    where f.date_key >= m.from_at::date - 2 and f.last_movement_at >= m.from_at
    union all
    select
        f.product_id,
        f.warehouse_code,
        f.date_key
    from mart.fact_stocks as f
    inner join affected_products as t on f.product_id = t.product_id
    where f.product_key = -1
) as s
group by s.product_id, s.warehouse_code
on conflict (product_id, warehouse_code) do update
    set from_date = least(affected_stocks.from_date, excluded.from_date);

-- Sums by day depend on the category of a version, even if the facts do not change.
insert into affected_days (fact, date_key)
select distinct
    'fact_transactions' as fact,
    f.date_key
from mart.fact_transactions as f
inner join rekeyed_products as m on f.product_key = m.product_key
where f.date_key >= m.from_at::date - 2
on conflict do nothing;

analyze affected_orders, affected_payments, affected_interactions, affected_stocks;
