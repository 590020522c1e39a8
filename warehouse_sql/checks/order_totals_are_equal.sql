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
