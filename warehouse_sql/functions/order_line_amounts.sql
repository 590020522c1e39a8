-- Grain: one row per order line given; all lines of an order have to be given together. Allocates
-- the amounts of orders to their lines, to the cent, by largest remainder: every share is rounded
-- down, and the remaining cents go to the largest remainders. A missing line (not loaded yet, or
-- quarantined) keeps its share: it is represented by a rest line with the remaining weight, which
-- ranks last among equals and is dropped. If the lines weigh more than their order, they share the
-- order's amount. If all weights are zero, the amount is split evenly over the present lines. Reads
-- no table, so that it works on lines of any layer.
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

-- One row per order: the weight of its lines, or equal weights.
header as (
    select
        l.order_id,
        greatest(min(l.order_subtotal_cents), sum(l.line_total_cents)) as whole,
        sum(l.line_total_cents) as present,
        count(*) as lines,
        min(l.order_discount_cents) as discount,
        min(l.order_shipping_cents) as shipping,
        min(l.order_tax_cents) as tax
    from line as l
    group by l.order_id
),

-- Numeric, because an amount times a weight can exceed 64 bits.
weighted as (
    select
        l.order_id,
        l.order_line_id,
        false as is_rest,
        case when h.whole > 0 then l.line_total_cents else 1 end::numeric as weight,
        case when h.whole > 0 then h.whole else h.lines end as whole,
        h.discount,
        h.shipping,
        h.tax
    from line as l
    inner join header as h on l.order_id = h.order_id
    union all
    select
        h.order_id,
        null as order_line_id,
        true as is_rest,
        h.whole - h.present as weight,
        h.whole,
        h.discount,
        h.shipping,
        h.tax
    from header as h
    where h.whole > h.present
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
        l.order_total_cents as whole,
        l.order_base_total_cents as amount
    from line as l
    inner join shared as s on l.order_line_id = s.order_line_id
    cross join lateral (
        values
        (1, l.line_total_cents - s.discount),
        (2, s.shipping),
        (3, s.tax)
    ) as p (component, weight)
),

part_header as (
    select
        p.order_id,
        greatest(min(p.whole), sum(p.weight)) as whole,
        sum(p.weight) as present,
        count(*) as parts,
        min(p.amount) as amount
    from part as p
    group by p.order_id
),

part_or_rest as (
    select
        p.order_id,
        p.order_line_id,
        p.component,
        case when h.whole > 0 then p.weight else 1 end as weight,
        case when h.whole > 0 then h.whole else h.parts end as whole,
        h.amount
    from part as p
    inner join part_header as h on p.order_id = h.order_id
    union all
    select
        h.order_id,
        null as order_line_id,
        4 as component,
        h.whole - h.present as weight,
        h.whole,
        h.amount
    from part_header as h
    where h.whole > h.present
),

part_floored as (
    select
        p.*,
        div(p.amount * p.weight, p.whole) as share,
        mod(p.amount * p.weight, p.whole) as remainder
    from part_or_rest as p
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
        c.total as weight,
        l.order_base_total_cents as whole,
        l.order_refund_cents as amount
    from line as l
    inner join converted as c on l.order_line_id = c.order_line_id
    where l.order_refund_cents > 0
),

refund_header as (
    select
        r.order_id,
        greatest(min(r.whole), sum(r.weight)) as whole,
        sum(r.weight) as present,
        count(*) as lines,
        min(r.amount) as amount
    from refundable as r
    group by r.order_id
),

refundable_or_rest as (
    select
        r.order_id,
        r.order_line_id,
        case when h.whole > 0 then r.weight else 1 end as weight,
        case when h.whole > 0 then h.whole else h.lines end as whole,
        h.amount
    from refundable as r
    inner join refund_header as h on r.order_id = h.order_id
    union all
    select
        h.order_id,
        null as order_line_id,
        h.whole - h.present as weight,
        h.whole,
        h.amount
    from refund_header as h
    where h.whole > h.present
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
        c.net::bigint as net,
        -- Half up: no amount is negative.
        div(s.discount * l.exchange_rate_e8 + 50000000, 100000000)::bigint as discount,
        c.shipping::bigint as shipping,
        c.tax::bigint as tax,
        c.total::bigint as total,
        coalesce(r.share + (r.rank <= r.left_over)::integer, 0)::bigint as refund
    from line as l
    inner join shared as s on l.order_line_id = s.order_line_id
    inner join converted as c on l.order_line_id = c.order_line_id
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
