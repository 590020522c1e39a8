-- Grain: one row per day and referring site, of affected days. A site is cut to fit an index.
insert into mart.daily_referrers (date_key, site, sessions, purchase_sessions)
with visit as (
    select
        f.date_key,
        f.session_id,
        left(coalesce(f.referrer, 'direct'), 100) as site,
        bool_or(f.interaction_type in ('view', 'cart', 'checkout', 'purchase')) as is_visit,
        bool_or(f.interaction_type = 'purchase') as has_purchase
    from affected_days as t
    inner join mart.fact_user_interactions as f on t.date_key = f.date_key
    where t.fact = 'fact_user_interactions'
    group by f.date_key, f.session_id, left(coalesce(f.referrer, 'direct'), 100)
)

select
    v.date_key,
    v.site,
    count(*) filter (where v.is_visit) as sessions,
    count(*) filter (where v.has_purchase) as purchase_sessions
from visit as v
group by v.date_key, v.site;
