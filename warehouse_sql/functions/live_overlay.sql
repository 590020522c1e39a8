-- Recomputes the lines of the orders in order_chunk from the shop's current rows, and lets them
-- replace the warehouse's lines in views. The other temporary tables have to be empty.
create or replace function live.overlay()
returns void
language plpgsql
set search_path = pg_temp, resolved, etl
as $$
declare
    -- The planner pushes an array condition through the views to their indexes; a join with
    -- order_chunk would read all rows of live, however few the orders.
    chunk constant /* order_id */ bigint[] := array(select c.order_id from order_chunk as c order by c.order_id);
begin
    -- An order and its lines may be read by two consumers. The second one waits here and computes
    -- from what the first has committed, since each statement sees everything committed before it.
    -- All consumers lock in the same order, which prevents deadlocks.
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
    -- A line may have belonged to another order before.
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

-- Creates the temporary tables of live's functions, for the rest of the session. Those with the
-- rows of the chunk have the names that etl.compute_transactions reads.
create or replace function live.prepare_session()
returns void
language plpgsql
as $$
begin
    -- Without an index: to empty it would invalidate the plans of all queries that read the table.
    create temporary table if not exists order_chunk (order_id bigint) on commit delete rows;
    create temporary table if not exists new_transactions (
        like mart.fact_transactions
    ) on commit delete rows;
    create temporary table if not exists orders (like entity.orders) on commit delete rows;
    create temporary table if not exists order_lines (like entity.order_lines)
    on commit delete rows;
    create temporary table if not exists payments (like entity.payments) on commit delete rows;
end
$$;

-- Lock on the overlay until the end of the transaction, for changes of which rows count: shared for
-- batches of live, exclusive for a load and a trim.
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

-- Recomputes these orders in bounded memory; returns their number.
create or replace function live.overlay_again(orders /* order_id */ bigint[])
returns bigint
language plpgsql
as $$
declare
    done bigint := 0;
    at_once constant integer := 20000;
begin
    perform live.prepare_session();
    while done < coalesce(array_length(orders, 1), 0) loop
        -- Truncated instead of deleted: deleted rows would be scanned until the transaction ends.
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

-- Recomputes all orders that live affects; the others are read from the warehouse again.
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

-- Runs at the end of a load. Lines computed by live stay valid if live was ahead of the warehouse
-- in every partition: the warehouse now has the same. Where live was behind, the warehouse has rows
-- that live has not seen, and all orders are recomputed. Where a redrive, a replay or a repair has
-- changed rows that both had applied, the orders affected by the load are handled here: those that
-- live no longer affects are read from the warehouse again, the others are recomputed. An hourly
-- load changes no such rows: the trim releases its orders in batches, for which live need not wait.
drop function if exists live.settle_after_load();
create or replace function live.settle_after_load(has_changed_the_past boolean)
returns bigint
language plpgsql
as $$
declare
    stale /* order_id */ bigint[];
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
