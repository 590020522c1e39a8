-- Grain: one row. How far charts are behind the shop. The shop's database writes a heartbeat when
-- nothing is sold, so that an idle shop and a pipeline that stands still look different. A
-- heartbeat is written when all changes before it are there. The newest change says less: other
-- partitions may be hours behind. Instants of the shop are by its own clock. However far that is
-- ahead, no heartbeat counts as newer than the moment at which it came: so charts are live for as
-- long as heartbeats come, and no longer.
create or replace view mart.live_freshness as
with heartbeat as (
    select
        h.sent_at,
        h.read_at,
        etl.clock_skew(h.lateness_seconds) as clock_ahead_seconds,
        extract(epoch from statement_timestamp() - h.read_at)::double precision
            as read_seconds_ago,
        -- Of nothing and 0, Postgres would say that 0 is the greatest.
        greatest(
            0, extract(epoch from statement_timestamp() - least(h.sent_at, h.read_at))
        )::double precision as seconds_behind
    from live.heartbeat as h
    order by h.read_at desc
    limit 1
),

seen as (
    select
        h.*,
        e.is_full,
        -- A clock that was set back since says nothing of how long ago it was.
        coalesce(h.read_seconds_ago >= -1, false) as is_known,
        (select max(w.last_committed_at) from live.watermark as w) as last_change_at,
        (
            select max(d.finished_at)
            from etl.load as d
            where d.outcome = 'published'
        ) as warehouse_loaded_at
    from live.state as e
    left join heartbeat as h on e.is_only
),

stated as (
    select
        s.*,
        case when s.is_known then s.seconds_behind end as known_seconds_behind,
        (
            select max(l.placed_at)
            from mart.live_sales as l
            where l.date_key >= (now() - interval '2 days')::date
        ) as last_order_at,
        case
            when s.is_full then 'full'
            when not s.is_known or s.read_seconds_ago > 60 then 'stopped'
            when abs(s.clock_ahead_seconds) > 10 then 'clock'
            when s.seconds_behind <= 10 then 'live'
            else 'late'
        end as state
    from seen as s
)

select
    j.known_seconds_behind as seconds_behind,
    j.sent_at as last_heartbeat_at,
    j.last_change_at,
    j.warehouse_loaded_at,
    j.last_order_at,
    j.state,
    j.read_at as heartbeat_read_at,
    j.clock_ahead_seconds
from stated as j;
