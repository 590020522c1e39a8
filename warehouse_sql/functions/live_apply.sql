-- Applies the rows in stage_<entity>, for the entities given: rows that are beyond the warehouse
-- replace older ones, and affected orders are recomputed. Must be called with a shared lock on the
-- overlay, in the transaction that advances live.watermark.
create or replace function live.apply(entities text[])
returns void
language plpgsql
set search_path = resolved, etl, pg_temp
as $$
declare
    entity text;
    key text;
    columns text;
begin
    -- Rows that the warehouse has applied by now have no effect and would only take space. A load
    -- advances etl.watermark with an exclusive lock on the overlay, so rows beyond the warehouse
    -- stay so until this transaction ends.
    foreach entity in array entities loop
        execute format(
            'delete from stage_%1$s as s
            where not etl.is_beyond_warehouse(%1$L, s._topic_id, s._epoch, s._partition, s._offset)',
            entity
        );
    end loop;
    if 'products' = any(entities) then
        delete from stage_products_history as s
        where not etl.is_beyond_warehouse('products', s._topic_id, s._epoch, s._partition, s._offset);
    end if;
    -- Orders of the new row versions and of the old ones.
    if 'orders' = any(entities) then
        insert into order_chunk (order_id)
        select s.order_id
        from stage_orders as s
        on conflict do nothing;
    end if;
    if 'order_lines' = any(entities) then
        insert into order_chunk (order_id)
        select s.order_id
        from stage_order_lines as s
        where s.order_id is not null
        union
        select l.order_id
        from stage_order_lines as s
        inner join live.order_lines as l on s.order_line_id = l.order_line_id
        where l.order_id is not null
        union
        select e.order_id
        from stage_order_lines as s
        inner join entity.order_lines as e on s.order_line_id = e.order_line_id
        on conflict do nothing;
    end if;
    if 'payments' = any(entities) then
        insert into order_chunk (order_id)
        select s.order_id
        from stage_payments as s
        where s.kind = 'refund'
        union
        select l.order_id
        from stage_payments as s
        inner join live.payments as l on s.payment_id = l.payment_id
        where l.kind = 'refund'
        union
        select e.order_id
        from stage_payments as s
        inner join entity.payments as e on s.payment_id = e.payment_id
        where e.kind = 'refund'
        on conflict do nothing;
    end if;
    for entity, key in
        select
            t.name,
            t.key[1]
        from etl.entity_table as t
        where t.name = any(entities)
    loop
        columns := (
            select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
            from pg_attribute as a
            where
                a.attrelid = format('live.%I', entity)::regclass
                and a.attnum > 0
                and not a.attisdropped
        );
        execute format(
            'insert into live.%1$I as l (%2$s)
            select %2$s
            from stage_%1$s as s
            on conflict (%3$I) do update set (%2$s) = row(%4$s)
            where (l._epoch, l._offset) < (excluded._epoch, excluded._offset)',
            entity, columns, key, replace('excluded.' || columns, ', ', ', excluded.')
        );
    end loop;
    if 'products' = any(entities) then
        perform live.apply_versions();
    end if;
    if exists (select from order_chunk) then
        perform live.overlay();
    end if;
end
$$;

-- Versions of products, as in silver's history: a version does not begin before its predecessor.
-- Orders placed since it began are affected.
create or replace function live.apply_versions()
returns void
language plpgsql
as $$
begin
    with new_version as (
        select
            s.*,
            max(s.valid_from_at) over in_order as begun_at,
            count(*) filter (where not s._is_deleted) over in_order as number,
            k.from_at as known_from_at,
            k.has_any as has_earlier
        from stage_products_history as s
        cross join lateral (
            -- The warehouse has no row for a deletion, only the end of the version before it.
            select
                max(v.begun_at) as from_at,
                coalesce(bool_or(v.is_version), false) as has_any
            from (
                select
                    h.valid_from_at as begun_at,
                    not h._is_deleted as is_version
                from live.products_history as h
                where
                    h.product_id = s.product_id
                    and (h._epoch, h._offset) < (s._epoch, s._offset)
                union all
                select
                    coalesce(e.valid_to_at, e.valid_from_at) as begun_at,
                    true as is_version
                from entity.products_history as e
                where
                    e.product_id = s.product_id
                    and (e._epoch, e._offset) < (s._epoch, s._offset)
            ) as v
        ) as k
        window in_order as (partition by s.product_id order by s._epoch, s._offset)
    )

    insert into live.products_history
    select (
        jsonb_populate_record(
            null::live.products_history,
            to_jsonb(n) || jsonb_build_object(
                'valid_from_at', greatest(n.begun_at, n.known_from_at),
                '_is_first', not n._is_deleted and n.number = 1 and not n.has_earlier
            )
        )
    ).*
    from new_version as n
    on conflict (product_id, _epoch, _offset) do nothing;

    insert into order_chunk (order_id)
    select f.order_id
    from stage_products_history as s
    inner join live.beyond_products_history as b
        on s.product_id = b.product_id and s._epoch = b._epoch and s._offset = b._offset
    inner join mart.dim_products as d on b.product_id = d.product_id
    inner join mart.fact_transactions as f on d.product_key = f.product_key
    where
        f.date_key >= case when b._is_first then '-infinity' else b.valid_from_at::date - 2 end
        and (b._is_first or f.placed_at >= b.valid_from_at)
    union
    -- Lines whose product was missing.
    select f.order_id
    from stage_products_history as s
    inner join mart.fact_transactions as f on s.product_id = f.product_id
    where f.product_key = -1
    union
    select l.order_id
    from stage_products_history as s
    inner join live.beyond_products_history as b
        on s.product_id = b.product_id and s._epoch = b._epoch and s._offset = b._offset
    inner join live.sales as l on b.product_id = l.product_id
    where b._is_first or l.placed_at >= b.valid_from_at
    on conflict do nothing;
end
$$;

-- Adds rows to the stage: a JSON object of lists of rows, by table of live.
create or replace function live.stage(rows json)
returns void
language plpgsql
as $$
declare
    name text;
    staged json;
begin
    for name, staged in
        select
            r.key,
            r.value
        from json_each(rows) as r
    loop
        execute format(
            'insert into pg_temp.stage_%1$s
            select * from json_populate_recordset(null::live.%1$I, $1)',
            name
        ) using staged;
    end loop;
end
$$;

-- Applies a batch and advances the watermarks, if the batch begins at the watermark of each of its
-- partitions. Otherwise, it changes nothing, and returns the next offset of each partition, in the
-- order given. If it is alone, no other batch runs at the same time.
create or replace function live.apply_batch(
    rows json,
    is_alone boolean,
    entities text[],
    topic_ids text[],
    epochs integer[],
    partitions integer[],
    starts bigint[],
    last_offsets bigint[],
    committed_us bigint[]
)
returns bigint[]
language plpgsql
as $$
declare
    positions bigint[];
begin
    perform live.stage(rows);
    if is_alone then
        perform live.own_overlay();
    else
        perform live.share_overlay();
    end if;
    -- The watermarks stay locked until commit, all consumers lock them in the same order.
    perform
    from live.watermark as w
    inner join unnest(entities, topic_ids, epochs, partitions)
        as p (entity, topic_id, epoch, partition)
        on
            w.entity = p.entity and w.topic_id = p.topic_id
            and w.epoch = p.epoch and w.partition = p.partition
    order by w.entity, w.topic_id, w.epoch, w.partition
    for update of w;
    positions := array(
        select coalesce(w.last_offset, -1) + 1
        from unnest(entities, topic_ids, epochs, partitions) with ordinality
            as p (entity, topic_id, epoch, partition, number)
        left join live.watermark as w
            on
                p.entity = w.entity and p.topic_id = w.topic_id
                and p.epoch = w.epoch and p.partition = w.partition
        order by p.number
    );
    if positions <> starts then
        return positions;
    end if;
    perform live.apply(array(
        select distinct e.entity
        from unnest(entities) as e (entity)
        where rows -> e.entity is not null
    ));
    update live.watermark as w
    set
        last_offset = p.last_offset,
        -- Not the maximum: a clock that was ahead for a moment would determine it for a long time.
        last_committed_at = case
            when p.committed_us is null then w.last_committed_at
            else least(
                timestamptz 'epoch' + p.committed_us * interval '1 microsecond', clock_timestamp()
            )
        end
    from unnest(entities, topic_ids, epochs, partitions, last_offsets, committed_us)
        as p (entity, topic_id, epoch, partition, last_offset, committed_us)
    where
        w.entity = p.entity and w.topic_id = p.topic_id
        and w.epoch = p.epoch and w.partition = p.partition;
    return null;
end
$$;
