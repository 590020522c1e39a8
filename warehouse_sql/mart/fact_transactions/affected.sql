-- Orders whose facts are recomputed once because their formula changed.
insert into affected_orders (order_id)
select s.order_id from etl.stale_order as s
on conflict do nothing;

delete from etl.stale_order;
