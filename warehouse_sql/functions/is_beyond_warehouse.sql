-- Whether the warehouse has not applied the change at this coordinate yet. Earlier epochs precede
-- later ones; all changes of a partition without a watermark are beyond the warehouse.
create or replace function etl.is_beyond_warehouse(
    entity text, topic_id text, epoch integer, partition integer, "offset" bigint
)
returns boolean
language sql
stable
as $$
select not exists (
    select 1
    from etl.watermark as w
    where
        w.entity = is_beyond_warehouse.entity
        and (
            w.epoch > is_beyond_warehouse.epoch
            or (
                w.epoch = is_beyond_warehouse.epoch
                and w.topic_id = is_beyond_warehouse.topic_id
                and w.partition = is_beyond_warehouse.partition
                and w.last_offset >= is_beyond_warehouse."offset"
            )
        )
)
$$;
