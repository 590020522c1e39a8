-- Grain: one row per customer with an order that counts. Same scores and segments as gold's table
-- of this name, whose contract has the limits; a test compares the two.
create or replace view mart.customer_lifetime_value as
with newest as (
    select (date_trunc('month', max(o.placed_date)::timestamp) + interval '1 month - 1 day')::date
        as as_of_date
    from entity.orders as o
),

scored as (
    select
        c.customer_id,
        c.first_order_date,
        c.last_order_date,
        c.orders,
        c.units,
        c.net_revenue_cents,
        c.total_cents,
        c.refund_cents,
        c.country,
        n.as_of_date,
        c.total_cents - c.refund_cents as lifetime_value_cents,
        etl.recency_score(c.last_order_date, n.as_of_date) as recency_score,
        etl.frequency_score(c.orders) as frequency_score,
        etl.monetary_score(c.total_cents - c.refund_cents) as monetary_score
    from mart.customer_totals as c
    cross join newest as n
),

segmented as (
    select
        s.*,
        etl.customer_segment(s.recency_score, s.frequency_score, s.monetary_score) as segment
    from scored as s
)

select
    s.customer_id,
    s.first_order_date,
    s.last_order_date,
    s.orders,
    s.units,
    s.net_revenue_cents,
    s.total_cents,
    s.refund_cents,
    s.lifetime_value_cents,
    s.recency_score,
    s.frequency_score,
    s.monetary_score,
    s.as_of_date,
    s.segment,
    s.country
from segmented as s;
