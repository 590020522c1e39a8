-- Grain: one row per interaction of a visitor, of those in affected_interactions.
insert into new_user_interactions (
    interaction_id, date_key, customer_key, product_key, customer_id, product_id, session_id,
    interaction_type, device, referrer, rating, occurred_at
)
select
    i.interaction_id,
    i.occurred_date as date_key,
    case when i.customer_id is null then -2 else coalesce(c.customer_key, -1) end as customer_key,
    case when i.product_id is null then -2 else coalesce(p.product_key, -1) end as product_key,
    i.customer_id,
    i.product_id,
    i.session_id,
    i.interaction_type,
    i.device,
    i.referrer,
    i.rating,
    i.occurred_at
from affected_interactions as t
inner join entity.interactions as i on t.interaction_id = i.interaction_id
left join lateral (
    select d.customer_key
    from etl.customer_at(i.customer_id, i.occurred_at) as d
) as c on true
left join lateral (
    select d.product_key
    from etl.product_at(i.product_id, i.occurred_at) as d
) as p on true;
