-- Grain: one row per customer with an order that counts, of those with an affected month or an
-- affected address.
insert into new_customer_totals (
    customer_id, first_order_date, last_order_date, orders, units, net_revenue_cents, total_cents,
    refund_cents, country
)
with affected as (
    select t.customer_id
    from affected_customer_months as t
    union
    select c.customer_id
    from affected_customers as c
)

select
    m.customer_id,
    min(m.first_order_date) as first_order_date,
    max(m.last_order_date) as last_order_date,
    sum(m.orders) as orders,
    sum(m.units) as units,
    sum(m.net_revenue_cents) as net_revenue_cents,
    sum(m.total_cents) as total_cents,
    sum(m.refund_cents) as refund_cents,
    etl.address_country(m.customer_id) as country
from affected as t
inner join mart.customer_months as m on t.customer_id = m.customer_id
group by m.customer_id;
