-- Grain: one row per day and device, of affected days.
insert into mart.daily_behaviour (
    date_key, device, sessions, cart_sessions, checkout_sessions, purchase_sessions, interactions
)
with visit as (
    select
        f.date_key,
        f.device,
        f.session_id,
        -- A visit counts at its furthest stage and all earlier ones; a review is not a stage.
        max(
            case f.interaction_type
                when 'view' then 1 when 'cart' then 2 when 'checkout' then 3 when 'purchase' then 4
                else 0
            end
        ) as furthest,
        count(*) as interactions
    from affected_days as t
    inner join mart.fact_user_interactions as f on t.date_key = f.date_key
    where t.fact = 'fact_user_interactions'
    group by f.date_key, f.device, f.session_id
)

select
    v.date_key,
    v.device,
    count(*) filter (where v.furthest >= 1) as sessions,
    count(*) filter (where v.furthest >= 2) as cart_sessions,
    count(*) filter (where v.furthest >= 3) as checkout_sessions,
    count(*) filter (where v.furthest >= 4) as purchase_sessions,
    sum(v.interactions) as interactions
from visit as v
group by v.date_key, v.device;
