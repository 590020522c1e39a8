-- Grain: one row per customer with orders on two days or more. Their rhythm is the mean number of
-- days between two orders. They are leaving once the last order is older than two rhythms.
create or replace view mart.leaving_customers as
with repeated as (
    select
        c.*,
        c.last_order_date - c.first_order_date as active_days,
        (c.last_order_date - c.first_order_date)::numeric / nullif(c.orders - 1, 0) as rhythm_days,
        -- Not a join: the day would be computed again for each customer.
        (select (now() at time zone s.time_zone)::date from etl.shop as s)
        - c.last_order_date as silent_days
    from mart.customer_totals as c
    where c.last_order_date > c.first_order_date
)

select
    r.customer_id,
    r.country,
    r.orders,
    r.last_order_date,
    r.rhythm_days,
    r.silent_days,
    -- Two rhythms, without dividing decimals: that took most of the time.
    r.silent_days * (r.orders - 1) > 2 * r.active_days as is_leaving,
    r.total_cents - r.refund_cents as lifetime_value_cents
from repeated as r;
