-- check: every_line_is_a_fact | severity: fail
-- Entity and fact have the same lines. Rows: lines of the load's orders that are in only one.
with in_entity as (
    select l.order_line_id
    from affected_orders as t
    inner join entity.order_lines as l on t.order_id = l.order_id
),

in_fact as (
    select f.order_line_id
    from affected_orders as t
    inner join mart.fact_transactions as f on t.order_id = f.order_id
    where f.date_key = any(etl.affected_dates('fact_transactions'))
)

select
    e.order_line_id as entity_line_id,
    f.order_line_id as fact_line_id
from in_entity as e
full outer join in_fact as f on e.order_line_id = f.order_line_id
where e.order_line_id is null or f.order_line_id is null;

-- check: lines_have_orders | severity: warn
-- Lines whose order is missing: not loaded yet, or quarantined. Rows: such lines of the load.
select
    f.order_line_id,
    f.order_id
from affected_orders as t
inner join mart.fact_transactions as f on t.order_id = f.order_id
where
    f.placed_at is null
    and f.date_key = any(etl.affected_dates('fact_transactions'));

-- check: members_are_known | severity: warn
-- Orders refer to a customer or product that is missing: not loaded yet, or quarantined.
-- Rows: such lines of the load, by the missing dimension.
select
    f.order_line_id,
    f.product_id,
    f.customer_id,
    f.product_key = -1 as lacks_product,
    f.customer_key = -1 as lacks_customer
from affected_orders as t
inner join mart.fact_transactions as f on t.order_id = f.order_id
where
    f.date_key = any(etl.affected_dates('fact_transactions'))
    and f.placed_at is not null
    and (f.product_key = -1 or f.customer_key = -1);

-- check: order_totals_are_equal | severity: fail
-- The amounts of the lines add up to the order's total and refunds once all lines are present
-- (their weight is at least the order's), and never exceed them. Rows: other orders of the load.
with line as (
    select
        f.order_id,
        sum(l.line_total_cents) as weight,
        sum(f.total_cents) as total_cents,
        sum(f.refund_cents) as refund_cents
    from affected_orders as t
    inner join mart.fact_transactions as f on t.order_id = f.order_id
    inner join entity.order_lines as l on f.order_line_id = l.order_line_id
    where
        f.date_key = any(etl.affected_dates('fact_transactions'))
        and f.placed_at is not null
    group by f.order_id
),

refund as (
    select
        p.order_id,
        sum(etl.payment_worth(p.amount_cents, o.exchange_rate_e8)) as cents
    from affected_orders as t
    inner join entity.orders as o on t.order_id = o.order_id
    inner join entity.payments as p on t.order_id = p.order_id
    where p.kind = 'refund' and p.status = 'captured'
    group by p.order_id
),

worth as (
    select
        l.order_id,
        o.base_total_cents,
        l.total_cents as lines_total_cents,
        l.refund_cents as lines_refund_cents,
        l.weight >= o.subtotal_cents as has_all_lines,
        coalesce(r.cents, 0) as refund_cents
    from line as l
    inner join entity.orders as o on l.order_id = o.order_id
    left join refund as r on o.order_id = r.order_id
)

select
    w.order_id,
    w.base_total_cents,
    w.lines_total_cents,
    w.refund_cents,
    w.lines_refund_cents
from worth as w
where
    (
        w.has_all_lines
        and (w.lines_total_cents, w.lines_refund_cents) <> (w.base_total_cents, w.refund_cents)
    )
    or w.lines_total_cents > w.base_total_cents
    or w.lines_refund_cents > w.refund_cents;

-- check: order_totals_are_in_facts | severity: warn
-- Orders that count and miss lines: not loaded yet, quarantined, or never written. The amounts of
-- these lines are in no fact. Rows: such orders of the load, largest amounts first; all_… is the
-- sum over all of them. `reconcile` reports it for all orders.
with line as (
    select
        l.order_id,
        sum(l.line_total_cents) as weight
    from affected_orders as t
    inner join entity.order_lines as l on t.order_id = l.order_id
    group by l.order_id
),

fact as (
    select
        f.order_id,
        sum(f.total_cents) as total_cents,
        sum(f.refund_cents) as refund_cents
    from affected_orders as t
    inner join mart.fact_transactions as f on t.order_id = f.order_id
    where f.date_key = any(etl.affected_dates('fact_transactions'))
    group by f.order_id
),

refund as (
    select
        p.order_id,
        sum(etl.payment_worth(p.amount_cents, o.exchange_rate_e8)) as cents
    from affected_orders as t
    inner join entity.orders as o on t.order_id = o.order_id
    inner join entity.payments as p on t.order_id = p.order_id
    where p.kind = 'refund' and p.status = 'captured'
    group by p.order_id
),

lacking as (
    select
        o.order_id,
        o.base_total_cents,
        (o.base_total_cents - coalesce(f.total_cents, 0))::bigint as in_no_fact_cents,
        (coalesce(r.cents, 0) - coalesce(f.refund_cents, 0))::bigint as refund_in_no_fact_cents
    from affected_orders as t
    inner join entity.orders as o on t.order_id = o.order_id
    left join line as l on o.order_id = l.order_id
    left join fact as f on o.order_id = f.order_id
    left join refund as r on o.order_id = r.order_id
    where
        (l.order_id is null or l.weight < o.subtotal_cents)
        and not (o.status = 'cancelled' and o.paid_at is null)
)

select
    l.order_id,
    l.base_total_cents,
    l.in_no_fact_cents,
    l.refund_in_no_fact_cents,
    (sum(l.in_no_fact_cents) over ())::bigint as all_in_no_fact_cents,
    (sum(l.refund_in_no_fact_cents) over ())::bigint as all_refund_in_no_fact_cents
from lacking as l
where l.in_no_fact_cents > 0 or l.refund_in_no_fact_cents > 0
order by l.in_no_fact_cents desc, l.order_id asc;

-- check: orders_of_last_hour | severity: warn
-- The last full hour with orders had about as many as the same hour of the day before: at least
-- half, at most double. Based on the newest order, not on the clock. Rows: one, if it had not.
with newest as (
    select
        f.date_key,
        date_trunc('hour', max(f.placed_at)) as hour_end_at
    from mart.fact_transactions as f
    where f.date_key = (select max(m.date_key) from mart.fact_transactions as m)
    group by f.date_key
),

counted as (
    select
        n.hour_end_at,
        count(distinct f.order_id)
        filter (where f.placed_at >= n.hour_end_at - interval '1 hour') as orders,
        count(distinct f.order_id)
        filter (where f.placed_at < n.hour_end_at - interval '24 hours') as orders_before
    from newest as n
    inner join mart.fact_transactions as f
        on
            n.date_key - 2 <= f.date_key
            and n.hour_end_at - interval '25 hours' <= f.placed_at
            and n.hour_end_at > f.placed_at
    group by n.hour_end_at
)

select
    c.hour_end_at,
    c.orders,
    c.orders_before
from counted as c
where c.orders_before > 0 and (c.orders < c.orders_before * 0.5 or c.orders > c.orders_before * 2);
