-- Grain: one row per order line, of the orders in affected_orders. They are computed in chunks,
-- because the lines of a chunk are passed in one array.
create temporary table order_chunk (order_id bigint primary key) on commit drop;

do $$
declare
    at_once constant integer := 100000;
    last /* order_id */ bigint;
begin
    loop
        truncate order_chunk;
        insert into order_chunk (order_id)
        select t.order_id
        from affected_orders as t
        where last is null or t.order_id > last
        order by t.order_id
        limit at_once;
        last := (select max(c.order_id) from order_chunk as c);
        exit when last is null;
        analyze order_chunk;
        perform etl.compute_transactions();
    end loop;
end
$$;
