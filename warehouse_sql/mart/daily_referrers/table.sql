create table mart.daily_referrers (
    date_key date not null references mart.dim_dates (date_key),
    site text not null,
    sessions bigint not null,
    purchase_sessions bigint not null,
    primary key (date_key, site)
);

-- In a warehouse that has facts already.
insert into mart.daily_referrers (date_key, site, sessions, purchase_sessions)
with visit as (
    select
        f.date_key,
        f.session_id,
        left(coalesce(f.referrer, 'direct'), 100) as site,
        bool_or(f.interaction_type in ('view', 'cart', 'checkout', 'purchase')) as is_visit,
        bool_or(f.interaction_type = 'purchase') as has_purchase
    from mart.fact_user_interactions as f
    group by f.date_key, f.session_id, left(coalesce(f.referrer, 'direct'), 100)
)

select
    v.date_key,
    v.site,
    count(*) filter (where v.is_visit) as sessions,
    count(*) filter (where v.has_purchase) as purchase_sessions
from visit as v
group by v.date_key, v.site;
