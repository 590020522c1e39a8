-- Grain: one row per segment and country of the customer's current address.
drop materialized view if exists mart.customer_segments;
create materialized view mart.customer_segments as
with address as (
    select distinct on (d.customer_id)
        d.customer_id,
        d.country
    from mart.dim_customers as d
    where d.customer_id is not null
    order by d.customer_id asc, d.valid_from_at desc
)

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
left join address as a on c.customer_id = a.customer_id
group by c.segment, coalesce(a.country, 'unknown');

create unique index customer_segments_key on mart.customer_segments (segment, country);
