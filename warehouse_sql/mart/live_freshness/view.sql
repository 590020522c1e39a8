-- Grain: one row: the delay of live charts behind the shop. Heartbeats are written to the shop's
-- database even if nothing is sold, so that an idle shop and a stopped pipeline can be told apart.
-- A heartbeat is stored once all changes before it have been applied. The age of the newest change
-- would not show the delay, since other partitions may be hours behind. Timestamps of the shop are
-- by its own clock. A heartbeat never counts as newer than its arrival, even if that clock is
-- ahead: charts are live only as long as heartbeats arrive.
create or replace view mart.live_freshness as
with heartbeat as (
    select
        h.sent_at,
        h.read_at,
        etl.clock_skew(h.lateness_seconds) as clock_ahead_seconds,
        extract(epoch from statement_timestamp() - h.read_at)::double precision
            as read_seconds_ago,
        -- greatest() ignores null, so greatest(null, 0) would be 0.
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
        -- If the clock was set back since, the time since then is unknown.
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
