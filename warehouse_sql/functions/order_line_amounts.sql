-- Grain: one row per order line given; all lines of an order have to be given together.
-- Spreads the amounts of orders over their lines, to the cent, by largest remainder: every share is
-- rounded down, and the cents left over go to the largest remainders. A line that is not there (not
-- arrived, or in quarantine) keeps its part: a rest takes what the given lines leave of the weight,
-- goes last among equals, and is dropped. Reads no table, so that any layer can give it lines.
create or replace function etl.order_line_amounts(lines etl.order_line_input[])
returns table (
    order_line_id bigint,
    gross_revenue_cents bigint,
    discount_cents bigint,
    net_revenue_cents bigint,
    shipping_cents bigint,
    tax_cents bigint,
    total_cents bigint,
    refund_cents bigint
)
language sql
immutable
parallel safe
as $$
with line as materialized (
    select l.*
    from unnest(lines) as l
),

-- One row per order.
header as (
    select
        l.order_id,
        min(l.order_subtotal_cents) as subtotal,
        min(l.order_discount_cents) as discount,
        min(l.order_shipping_cents) as shipping,
        min(l.order_tax_cents) as tax,
        sum(l.line_total_cents) as present
    from line as l
    group by l.order_id
),

-- Numeric, because an amount times a weight can exceed 64 bits.
weighted as (
    select
        l.order_id,
        l.order_line_id,
        false as is_rest,
        l.line_total_cents::numeric as weight,
        l.order_subtotal_cents::numeric as whole,
        l.order_discount_cents as discount,
        l.order_shipping_cents as shipping,
        l.order_tax_cents as tax
    from line as l
    union all
    select
        h.order_id,
        null as order_line_id,
        true as is_rest,
        h.subtotal - h.present as weight,
        h.subtotal::numeric as whole,
        h.discount,
        h.shipping,
        h.tax
    from header as h
    where h.subtotal > h.present
),

floored as (
    select
        w.*,
        div(w.discount * w.weight, w.whole) as discount_floor,
        div(w.shipping * w.weight, w.whole) as shipping_floor,
        div(w.tax * w.weight, w.whole) as tax_floor,
        mod(w.discount * w.weight, w.whole) as discount_remainder,
        mod(w.shipping * w.weight, w.whole) as shipping_remainder,
        mod(w.tax * w.weight, w.whole) as tax_remainder
    from weighted as w
    where w.whole > 0
),

ranked as (
    select
        f.*,
        f.discount - sum(f.discount_floor) over one_order as discount_left,
        f.shipping - sum(f.shipping_floor) over one_order as shipping_left,
        f.tax - sum(f.tax_floor) over one_order as tax_left,
        row_number() over (
            partition by f.order_id
            order by f.discount_remainder desc, f.is_rest, f.order_line_id
        ) as discount_rank,
        row_number() over (
            partition by f.order_id
            order by f.shipping_remainder desc, f.is_rest, f.order_line_id
        ) as shipping_rank,
        row_number() over (
            partition by f.order_id
            order by f.tax_remainder desc, f.is_rest, f.order_line_id
        ) as tax_rank
    from floored as f
    window one_order as (partition by f.order_id)
),

-- In the order's currency.
shared as (
    select
        r.order_line_id,
        r.discount_floor + (r.discount_rank <= r.discount_left)::integer as discount,
        r.shipping_floor + (r.shipping_rank <= r.shipping_left)::integer as shipping,
        r.tax_floor + (r.tax_rank <= r.tax_left)::integer as tax
    from ranked as r
    where not r.is_rest
),

part as (
    select
        l.order_id,
        l.order_line_id,
        p.component,
        p.weight,
        l.order_total_cents::numeric as whole,
        l.order_base_total_cents as amount
    from line as l
    left join shared as s on l.order_line_id = s.order_line_id
    cross join lateral (
        values
        (1, l.line_total_cents - coalesce(s.discount, 0)),
        (2, coalesce(s.shipping, 0)),
        (3, coalesce(s.tax, 0))
    ) as p (component, weight)
),

part_or_rest as (
    select
        p.order_id,
        p.order_line_id,
        p.component,
        p.weight,
        p.whole,
        p.amount
    from part as p
    union all
    select
        p.order_id,
        null as order_line_id,
        4 as component,
        min(p.whole) - sum(p.weight) as weight,
        min(p.whole) as whole,
        min(p.amount) as amount
    from part as p
    group by p.order_id
    having min(p.whole) > sum(p.weight)
),

part_floored as (
    select
        p.*,
        div(p.amount * p.weight, p.whole) as share,
        mod(p.amount * p.weight, p.whole) as remainder
    from part_or_rest as p
    where p.whole > 0
),

part_ranked as (
    select
        p.*,
        p.amount - sum(p.share) over (partition by p.order_id) as left_over,
        row_number() over (
            partition by p.order_id
            order by p.remainder desc, p.component, p.order_line_id
        ) as rank
    from part_floored as p
),

-- In the base currency.
converted as (
    select
        p.order_line_id,
        sum(p.share + (p.rank <= p.left_over)::integer) filter (where p.component = 1) as net,
        sum(p.share + (p.rank <= p.left_over)::integer) filter (where p.component = 2) as shipping,
        sum(p.share + (p.rank <= p.left_over)::integer) filter (where p.component = 3) as tax,
        sum(p.share + (p.rank <= p.left_over)::integer) as total
    from part_ranked as p
    where p.order_line_id is not null
    group by p.order_line_id
),

refundable as (
    select
        l.order_id,
        l.order_line_id,
        coalesce(c.total, 0) as weight,
        l.order_base_total_cents::numeric as whole,
        l.order_refund_cents as amount
    from line as l
    left join converted as c on l.order_line_id = c.order_line_id
    where l.order_refund_cents > 0 and l.order_base_total_cents > 0
),

refundable_or_rest as (
    select
        r.order_id,
        r.order_line_id,
        r.weight,
        r.whole,
        r.amount
    from refundable as r
    union all
    select
        r.order_id,
        null as order_line_id,
        min(r.whole) - sum(r.weight) as weight,
        min(r.whole) as whole,
        min(r.amount) as amount
    from refundable as r
    group by r.order_id
    having min(r.whole) > sum(r.weight)
),

refund_floored as (
    select
        r.*,
        div(r.amount * r.weight, r.whole) as share,
        mod(r.amount * r.weight, r.whole) as remainder
    from refundable_or_rest as r
),

refund_ranked as (
    select
        r.*,
        r.amount - sum(r.share) over (partition by r.order_id) as left_over,
        row_number() over (
            partition by r.order_id
            order by r.remainder desc, r.order_line_id nulls last
        ) as rank
    from refund_floored as r
),

line_in_base as (
    select
        l.order_line_id,
        coalesce(c.net, 0)::bigint as net,
        -- Half up: no amount is negative.
        div(coalesce(s.discount, 0) * l.exchange_rate_e8 + 50000000, 100000000)::bigint as discount,
        coalesce(c.shipping, 0)::bigint as shipping,
        coalesce(c.tax, 0)::bigint as tax,
        coalesce(c.total, 0)::bigint as total,
        coalesce(r.share + (r.rank <= r.left_over)::integer, 0)::bigint as refund
    from line as l
    left join shared as s on l.order_line_id = s.order_line_id
    left join converted as c on l.order_line_id = c.order_line_id
    left join refund_ranked as r on l.order_line_id = r.order_line_id
)

select
    l.order_line_id,
    l.net + l.discount as gross_revenue_cents,
    l.discount as discount_cents,
    l.net as net_revenue_cents,
    l.shipping as shipping_cents,
    l.tax as tax_cents,
    l.total as total_cents,
    l.refund as refund_cents
from line_in_base as l
$$;
