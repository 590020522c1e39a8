-- Grain: one row per layer and table: position, lag and age. The lake as of its last measurement,
-- warehouse and live as of now. Timestamps after the measurement, by a clock that was ahead, count
-- as age 0.
create or replace view mart.data_freshness as
with published as (
    select max(d.finished_at) as finished_at
    from etl.load as d
    where d.outcome = 'published'
),

heard as (
    select max(least(h.sent_at, h.read_at)) as sent_at
    from live.heartbeat as h
),

passed as (
    select
        'warehouse' as layer,
        w.entity as table_name,
        sum(w.last_offset + 1)::bigint as passed_offsets
    from etl.watermark as w
    group by w.entity
    union all
    select
        'live' as layer,
        w.entity as table_name,
        sum(w.last_offset + 1)::bigint as passed_offsets
    from live.watermark as w
    group by w.entity
),

found as (
    select
        t.layer,
        t.table_name,
        t.passed_offsets,
        t.behind_offsets,
        t.behind_versions,
        least(t.newest_at, t.measured_at) as newest_at,
        t.measured_at,
        t.is_counted
    from etl.lake_table as t
    union all
    select
        p.layer,
        p.table_name,
        p.passed_offsets,
        null as behind_offsets,
        null as behind_versions,
        least(case when p.layer = 'warehouse' then u.finished_at else h.sent_at end, now())
            as newest_at,
        now() as measured_at,
        true as is_counted
    from passed as p
    cross join published as u
    cross join heard as h
)

select
    f.layer,
    f.table_name,
    f.passed_offsets,
    f.behind_offsets,
    f.behind_versions,
    f.newest_at,
    f.measured_at,
    f.is_counted,
    array_position(array['bronze', 'silver', 'gold', 'warehouse', 'live'], f.layer) as layer_number,
    extract(epoch from f.measured_at - f.newest_at)::double precision as age_seconds,
    greatest(0, extract(epoch from now() - f.measured_at))::double precision as measured_seconds_ago
from found as f;
