-- Computes etl.left_out. An order that never passed is left out as a whole, with its lines; of one
-- that did, each line that never did, minus its share of the discount. A row of which an earlier
-- version passed is in the mart with that. Those that the shop has deleted since are not in
-- etl.quarantined_sale.
create or replace function etl.compute_left_out()
returns void
language sql
as $$
delete from etl.left_out;

insert into etl.left_out (date_key, entity, rule, row_count, left_out_cents)
with missing as (
    select
        q.entity,
        q.rule,
        q.placed_at,
        (q.amount - q.discount) * q.exchange_rate as net
    from etl.quarantined_sale as q
    where
        q.entity = 'orders'
        and q.counts
        and not exists (
            select
            from entity.orders as o
            where o.order_id = q.row_key::/* order_id */ bigint
        )
    union all
    select
        q.entity,
        q.rule,
        o.placed_at,
        q.amount * o.exchange_rate_e8 / 100000000
        * (1 - coalesce(o.discount_cents / nullif(o.subtotal_cents, 0)::numeric, 0)) as net
    from etl.quarantined_sale as q
    inner join entity.orders as o on q.order_id = o.order_id
    where
        q.entity = 'order_lines'
        and not (o.status = 'cancelled' and o.paid_at is null)
        and not exists (
            select
            from entity.order_lines as l
            where l.order_line_id = q.row_key::/* order_line_id */ bigint
        )
)

select
    coalesce((m.placed_at at time zone s.time_zone)::date, '0001-01-01') as date_key,
    m.entity,
    m.rule,
    count(*) as row_count,
    coalesce(round(sum(m.net) * 100), 0) as left_out_cents
from missing as m
cross join etl.shop as s
group by 1, 2, 3
$$;
