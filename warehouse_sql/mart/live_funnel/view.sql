-- Grain: one row per stage, in order. Sessions of the last hour by the stage that they reached in
-- it; there is no index by session for their earlier interactions.
create or replace view mart.live_funnel as
with interaction as (
    select
        f.session_id,
        f.interaction_type
    from mart.fact_user_interactions as f
    where
        f.date_key >= (now() - interval '2 days')::date
        and f.occurred_at >= now() - interval '1 hour'
        and not exists (
            select
            from live.beyond_interactions as b
            where b.interaction_id = f.interaction_id
        )
    union all
    select
        b.session_id,
        b.interaction_type
    from live.beyond_interactions as b
    where not b._is_deleted and b.occurred_at >= now() - interval '1 hour'
)

select
    s.stage_number,
    s.stage,
    count(distinct i.session_id) as sessions
from (
    values
    (1, 'view', '{view,cart,checkout,purchase}'::text[]),
    (2, 'cart', '{cart,checkout,purchase}'),
    (3, 'checkout', '{checkout,purchase}'),
    (4, 'purchase', '{purchase}')
) as s (stage_number, stage, reached_by)
left join interaction as i on i.interaction_type = any(s.reached_by)
group by s.stage_number, s.stage;
