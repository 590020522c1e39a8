-- Grain: one row per range of offsets that was accepted as lost, as of the last measurement. A
-- range is resolved if the ledger has another row for it, with kind read_again.
create or replace view mart.losses as
select
    s.topic,
    s.partition,
    s.first_offset,
    s.last_offset,
    s.kind,
    s.explanation,
    s.recorded_at,
    s.last_offset - s.first_offset + 1 as offsets,
    s.kind in ('slot_lost', 'truncated') and exists (
        select
        from etl.loss as r
        where
            r.kind = 'read_again'
            and r.topic_id = s.topic_id
            and r.partition = s.partition
            and r.first_offset = s.first_offset
            and r.recorded_at >= s.recorded_at
    ) as is_resolved
from etl.loss as s
where s.kind <> 'read_again';
