-- Grain: one row. How far charts are behind the shop. The shop's heart beats when nothing is sold,
-- so that an idle shop and a pipeline that stands still look different. A beat is written when all
-- changes before it are there. The newest change says less: other partitions may be hours behind.
create or replace view mart.live_freshness as
with seen as (
    select
        (select max(h.beat_at) from live.heartbeat as h) as last_heartbeat_at,
        (select max(w.last_committed_at) from live.watermark as w) as last_change_at,
        (
            select max(d.finished_at)
            from etl.load as d
            where d.outcome = 'published'
        ) as star_loaded_at,
        (select s.is_full from live.state as s) as is_full
),

aged as (
    select
        s.*,
        -- Of nothing and 0, Postgres would say that 0 is the greatest.
        case
            when s.last_heartbeat_at is not null
                then greatest(0, extract(epoch from now() - s.last_heartbeat_at))
        end::double precision as seconds_behind
    from seen as s
)

select
    a.seconds_behind,
    a.last_heartbeat_at,
    a.last_change_at,
    a.star_loaded_at,
    (
        select max(l.placed_at)
        from mart.live_sales as l
        where l.date_key >= (now() - interval '2 days')::date
    ) as last_order_at,
    case
        when a.is_full then 'full'
        when a.seconds_behind <= 10 then 'live'
        when a.seconds_behind <= 60 then 'late'
        else 'stopped'
    end as state
from aged as a;
