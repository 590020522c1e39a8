-- Releases up to this many orders that live no longer affects, so that views read them from the
-- warehouse again; returns their number.
create or replace function live.trim_orders(at_once integer)
returns bigint
language plpgsql
as $$
declare
    given_back bigint;
begin
    perform live.own_overlay();
    with gone as (
        delete from live.overlaid_orders as o
        where o.order_id in (
            select c.order_id
            from live.overlaid_orders as c
            where c.order_id not in (select t from live.affected_orders() as t)
            limit at_once
        )
        returning o.order_id
    ),

    lines as (
        delete from live.sales as s
        using gone as g
        where s.order_id = g.order_id
    )

    select count(*)
    into given_back
    from gone;
    return given_back;
end
$$;

-- Deletes the rows of live that the warehouse has applied; returns their number. No view reads
-- them, so no lock is needed.
create or replace function live.trim_rows()
returns bigint
language plpgsql
as $$
declare
    deleted bigint;
    total bigint := 0;
    entity text;
    source text;
begin
    for entity, source in
        select
            t.name,
            t.entity
        from etl.entity_table as t
        where t.is_live
    loop
        execute format(
            'delete from live.%1$I as l
            using etl.watermark as w
            where
                w.entity = %2$L
                and (
                    w.epoch > l._epoch
                    or (
                        w.epoch = l._epoch
                        and w.topic_id = l._topic_id
                        and w.partition = l._partition
                        and w.last_offset >= l._offset
                    )
                )',
            entity, source
        );
        get diagnostics deleted = row_count;
        total := total + deleted;
    end loop;
    return total;
end
$$;
