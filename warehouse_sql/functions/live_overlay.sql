-- Computes the lines of the orders in order_chunk anew, from the shop's rows as of now, and has
-- them count instead of the warehouse's. The other temporary tables have to be empty.
create or replace function live.overlay()
returns void
language plpgsql
set search_path = pg_temp, resolved, etl
as $$
declare
    -- An array goes through the views down to their indexes; a join with order_chunk would read
    -- all that live holds, however few the orders.
    chunk constant bigint[] := array(select c.order_id from order_chunk as c order by c.order_id);
begin
    -- An order and its lines may come from two consumers. Whoever comes second waits here, and
    -- computes from what the first has committed: each statement sees what was committed before it.
    -- All lock in one order, so that none waits for one that waits for it.
    insert into live.overlaid_orders (order_id)
    select c
    from unnest(chunk) as c
    on conflict do nothing;
    perform
    from live.overlaid_orders as o
    where o.order_id = any(chunk)
    order by o.order_id
    for update of o;
    insert into orders
    select o.*
    from resolved.orders as o
    where o.order_id = any(chunk);
    insert into order_lines
    select l.*
    from resolved.order_lines as l
    where l.order_id = any(chunk);
    insert into payments
    select p.*
    from resolved.payments as p
    where p.order_id = any(chunk) and p.kind = 'refund';
    perform etl.compute_transactions();
    -- A line may have come from an order that is not among these any more.
    delete from live.sales as s
    where
        s.order_id = any(chunk)
        or s.order_line_id = any(array(select n.order_line_id from new_transactions as n));
    insert into live.sales
    select
        n.*,
        coalesce(p.name, 'unknown'),
        coalesce(p.category, 'unknown'),
        coalesce(p.brand, 'unknown')
    from new_transactions as n
    left join lateral resolved.product_at(n.product_id, n.placed_at) as p on true;
end
$$;

-- The temporary tables that the functions of live work in, for the rest of the session. Those that
-- hold the chunk's rows have the names by which etl.compute_transactions asks for them.
create or replace function live.prepare_session()
returns void
language plpgsql
as $$
begin
    create temporary table if not exists order_chunk (
        order_id bigint primary key
    ) on commit delete rows;
    create temporary table if not exists new_transactions (
        like mart.fact_transactions
    ) on commit delete rows;
    create temporary table if not exists orders (like entity.orders) on commit delete rows;
    create temporary table if not exists order_lines (like entity.order_lines)
    on commit delete rows;
    create temporary table if not exists payments (like entity.payments) on commit delete rows;
end
$$;

-- Whoever changes what counts holds this to the end of the transaction: live's batches share it,
-- a load and a trim have it alone.
create or replace function live.share_overlay()
returns void
language sql
as $$
select pg_advisory_xact_lock_shared(hashtext('live.overlay'))
$$;

create or replace function live.own_overlay()
returns void
language sql
as $$
select pg_advisory_xact_lock(hashtext('live.overlay'))
$$;

-- Computes these orders anew, in bounded memory; how many.
create or replace function live.overlay_again(orders bigint[])
returns bigint
language plpgsql
as $$
declare
    done bigint := 0;
    at_once constant integer := 20000;
begin
    perform live.prepare_session();
    while done < coalesce(array_length(orders, 1), 0) loop
        -- Emptied for good: what is only deleted stays to be read until the transaction ends.
        truncate
        pg_temp.order_chunk, pg_temp.new_transactions, pg_temp.orders, pg_temp.order_lines,
        pg_temp.payments;
        insert into order_chunk (order_id)
        select o.order_id
        from unnest(orders[done + 1 : done + at_once]) as o (order_id);
        perform live.overlay();
        done := done + at_once;
    end loop;
    return coalesce(array_length(orders, 1), 0);
end
$$;

-- Computes all orders anew that live touches, and lets the warehouse have the others.
create or replace function live.settle()
returns bigint
language plpgsql
as $$
begin
    perform live.own_overlay();
    delete from live.sales;
    delete from live.overlaid_orders;
    return live.overlay_again(array(select t from live.affected_orders() as t order by 1));
end
$$;

-- At the end of a load. What live has computed stays true as long as it was ahead of the warehouse
-- in every partition: the warehouse now says the same. Where it was behind, the warehouse knows
-- rows that live has not seen, and all is computed anew. Where a redrive, a replay or a repair has
-- changed rows that both had passed, it is what the load has affected: of that, what live touches
-- no more goes back to the warehouse, and the rest is computed anew. An hour's load changes no such
-- rows: the trim gives its orders back, in pieces, while live waits here.
drop function if exists live.settle_after_load();
create or replace function live.settle_after_load(has_changed_the_past boolean)
returns bigint
language plpgsql
as $$
declare
    stale bigint[];
begin
    perform live.own_overlay();
    if not exists (select from live.overlaid_orders) then
        return 0;
    end if;
    if exists (
        select
        from etl.watermark as w
        left join live.watermark as l
            on
                w.entity = l.entity
                and w.topic_id = l.topic_id
                and w.epoch = l.epoch
                and w.partition = l.partition
        where coalesce(l.last_offset, -1) < w.last_offset
    ) then
        return live.settle();
    end if;
    if not has_changed_the_past then
        return 0;
    end if;
    stale := array(
        select o.order_id
        from live.overlaid_orders as o
        inner join pg_temp.affected_orders as t on o.order_id = t.order_id
        intersect
        select t from live.affected_orders() as t
        order by 1
    );
    with gone as (
        delete from live.overlaid_orders as o
        using pg_temp.affected_orders as t
        where o.order_id = t.order_id and o.order_id not in (select s from unnest(stale) as s)
        returning o.order_id
    )

    delete from live.sales as s
    using gone as g
    where s.order_id = g.order_id;
    return live.overlay_again(stale);
end
$$;
