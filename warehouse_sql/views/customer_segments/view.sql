-- Grain: one row per segment and country of the customer's present address.
drop materialized view if exists mart.customer_segments;
create materialized view mart.customer_segments as
select
    c.segment,
    coalesce(a.country, 'unknown') as country,
    min(c.as_of_date) as as_of_date,
    count(*) as customers,
    count(*) filter (where c.orders > 1) as repeat_customers,
    sum(c.orders)::bigint as orders,
    sum(c.net_revenue_cents)::bigint as net_revenue_cents,
    sum(c.lifetime_value_cents)::bigint as lifetime_value_cents
from mart.customer_lifetime_value as c
left join entity.customers as a on c.customer_id = a.customer_id
group by c.segment, coalesce(a.country, 'unknown');

create unique index customer_segments_key on mart.customer_segments (segment, country);
