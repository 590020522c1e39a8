-- Applies rows: a JSON object of lists of rows, by table of live. Those beyond the warehouse take
-- the place of older ones, and affected orders are recomputed. Needs a shared lock on the overlay,
-- and runs in the transaction that advances live.watermark: a load advances etl.watermark with an
-- exclusive lock, so rows beyond the warehouse stay so until this transaction ends.
drop function if exists live.apply(text[]);
create or replace function live.apply(rows json)
returns void
language plpgsql
as $$
declare
    -- To look a table up in the JSON, Postgres reads all of it: it does so once.
    names text[];
    parts json[];
    chunk /* order_id */ bigint[];
    versions json;
begin
    select
        array_agg(r.key),
        array_agg(r.value)
    into names, parts
    from json_each(rows) as r;
    -- Orders of the new row versions and of the old ones.
    chunk := array(
        with order_line as materialized (
            select
                r.order_line_id,
                r.order_id
            from live.received_order_lines(parts[array_position(names, 'order_lines')]) as r
        ),

        payment as materialized (
            select
                r.payment_id,
                r.order_id,
                r.kind
            from live.received_payments(parts[array_position(names, 'payments')]) as r
        )

        select r.order_id
        from live.received_orders(parts[array_position(names, 'orders')]) as r
        union
        select n.order_id
        from order_line as n
        where n.order_id is not null
        union
        select l.order_id
        from order_line as n
        inner join live.order_lines as l on n.order_line_id = l.order_line_id
        where l.order_id is not null
        union
        select e.order_id
        from order_line as n
        inner join entity.order_lines as e on n.order_line_id = e.order_line_id
        union
        select n.order_id
        from payment as n
        where n.kind = 'refund'
        union
        select l.order_id
        from payment as n
        inner join live.payments as l on n.payment_id = l.payment_id
        where l.kind = 'refund'
        union
        select e.order_id
        from payment as n
        inner join entity.payments as e on n.payment_id = e.payment_id
        where e.kind = 'refund'
    );
    for number in 1..coalesce(array_length(names, 1), 0) loop
        if names[number] <> 'products_history' then
            execute format('select live.put_%I($1)', names[number]) using parts[number];
        end if;
    end loop;
    versions := parts[array_position(names, 'products_history')];
    if versions is not null then
        chunk := array(
            select c
            from unnest(chunk) as c
            union
            select v
            from live.apply_versions(versions) as v
        );
    end if;
    if cardinality(chunk) > 0 then
        insert into order_chunk (order_id)
        select c
        from unnest(chunk) as c;
        perform live.overlay();
    end if;
end
$$;

-- Versions of products, as in silver's history: a version does not begin before its predecessor.
-- Orders placed since it began are affected: these are returned.
drop function if exists live.apply_versions();
create or replace function live.apply_versions(versions json)
returns setof /* order_id */ bigint
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
        from live.received_products_history(versions) as s
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

    return query
    select f.order_id
    from live.received_products_history(versions) as s
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
    from live.received_products_history(versions) as s
    inner join mart.fact_transactions as f on s.product_id = f.product_id
    where f.product_key = -1
    union
    select l.order_id
    from live.received_products_history(versions) as s
    inner join live.beyond_products_history as b
        on s.product_id = b.product_id and s._epoch = b._epoch and s._offset = b._offset
    inner join live.sales as l on b.product_id = l.product_id
    where b._is_first or l.placed_at >= b.valid_from_at;
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
    perform live.apply(rows);
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
