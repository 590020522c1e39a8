-- Grain: one row per range of offsets that was lost and accepted as lost, as of the last look.
create or replace view mart.losses as
select
    s.topic,
    s.partition,
    s.first_offset,
    s.last_offset,
    s.kind,
    s.explanation,
    s.recorded_at,
    s.last_offset - s.first_offset + 1 as offsets
from etl.loss as s;
