-- Grain: one row per day and device, of touched days.
delete from mart.daily_behaviour as d
using touched_days as t
where d.date_key = t.date_key and t.fact = 'fact_user_interactions';

insert into mart.daily_behaviour (
    date_key, device, sessions, view_sessions, cart_sessions, checkout_sessions, purchase_sessions,
    interactions
)
with visit as (
    select
        f.date_key,
        f.device,
        f.session_id,
        bool_or(f.interaction_type = 'view') as has_view,
        bool_or(f.interaction_type = 'cart') as has_cart,
        bool_or(f.interaction_type = 'checkout') as has_checkout,
        bool_or(f.interaction_type = 'purchase') as has_purchase,
        count(*) as interactions
    from touched_days as t
    inner join mart.fact_user_interactions as f on t.date_key = f.date_key
    where t.fact = 'fact_user_interactions'
    group by f.date_key, f.device, f.session_id
)

select
    v.date_key,
    v.device,
    count(*) as sessions,
    count(*) filter (where v.has_view) as view_sessions,
    count(*) filter (where v.has_cart) as cart_sessions,
    count(*) filter (where v.has_checkout) as checkout_sessions,
    count(*) filter (where v.has_purchase) as purchase_sessions,
    sum(v.interactions) as interactions
from visit as v
group by v.date_key, v.device;
