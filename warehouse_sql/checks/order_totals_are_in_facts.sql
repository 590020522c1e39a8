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
