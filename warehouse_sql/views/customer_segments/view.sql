-- Grain: one row per segment and country of the customer's current address.
drop materialized view if exists mart.customer_segments;
create materialized view mart.customer_segments as
with newest as (
    select (date_trunc('month', max(o.placed_date)::timestamp) + interval '1 month - 1 day')::date
        as as_of_date
    from entity.orders as o
),

scored as (
    select
        g.country,
        g.customers,
        g.repeat_customers,
        g.orders,
        g.net_revenue_cents,
        g.lifetime_value_cents,
        n.as_of_date,
        etl.customer_segment(
            etl.recency_score(g.last_order_date, n.as_of_date),
            g.frequency_score,
            g.monetary_score
        ) as segment
    from mart.customer_groups as g
    cross join newest as n
)

select
    s.segment,
    s.country,
    min(s.as_of_date) as as_of_date,
    sum(s.customers)::bigint as customers,
    sum(s.repeat_customers)::bigint as repeat_customers,
    sum(s.orders)::bigint as orders,
    sum(s.net_revenue_cents)::bigint as net_revenue_cents,
    sum(s.lifetime_value_cents)::bigint as lifetime_value_cents
from scored as s
group by s.segment, s.country;

create unique index customer_segments_key on mart.customer_segments (segment, country);
