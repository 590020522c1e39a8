-- Orders whose facts the next load computes again, though nothing of them has changed: by a formula
-- that is another now.
-- Grain: one row per order.
create table etl.stale_order (order_id bigint primary key);

-- Until now, amounts were lost where nothing weighed anything, and lines that weighed more than
-- their order's subtotal had more than the order.
insert into etl.stale_order (order_id)
select o.order_id
from entity.orders as o
inner join (
    select
        l.order_id,
        sum(l.line_total_cents) as weight
    from entity.order_lines as l
    group by l.order_id
) as l on o.order_id = l.order_id
where
    l.weight > o.subtotal_cents
    or (o.subtotal_cents = 0 and o.total_cents > 0)
    or (
        o.base_total_cents = 0
        and exists (
            select
            from entity.payments as p
            where p.order_id = o.order_id and p.kind = 'refund' and p.status = 'captured'
        )
    );

-- And a refund worth more than any amount may be was taken off its order.
insert into etl.stale_order (order_id)
select p.order_id
from mart.fact_payments as p
where p.base_amount_cents > 1000000000 and p.kind = 'refund'
on conflict do nothing;

update mart.fact_payments
set base_amount_cents = null
where base_amount_cents > 1000000000;
