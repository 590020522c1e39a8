-- Grain: one row per segment, kind of list and product, of the lists' first three ranks.
drop materialized view if exists mart.segment_recommendations;
create materialized view mart.segment_recommendations as
with newest as (
    select (date_trunc('month', max(o.placed_date)::timestamp) + interval '1 month - 1 day')::date
        as as_of_date
    from entity.orders as o
),

segments as (
    select
        t.customer_id,
        etl.customer_segment(
            etl.recency_score(t.last_order_date, n.as_of_date),
            etl.frequency_score(t.orders),
            etl.monetary_score(t.total_cents - t.refund_cents)
        ) as segment
    from mart.customer_totals as t
    cross join newest as n
)

select
    r.kind,
    r.product_id,
    r.product,
    r.category,
    coalesce(s.segment, 'no orders') as segment,
    count(*) as customers
from mart.recommendations as r
left join segments as s on r.customer_id = s.customer_id
where r.rank <= 3
group by coalesce(s.segment, 'no orders'), r.kind, r.product_id, r.product, r.category;

create unique index segment_recommendations_key
on mart.segment_recommendations (segment, kind, product_id);
