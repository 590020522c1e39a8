-- The cent (or none) that a row gets of what is left over of an amount, once every share of it is
-- rounded down. `remainder` is the row's, `rank` its place among them, the largest first, and
-- `remainders` their sum, all in parts of a cent, `whole` of which are one. What the sum lacks to
-- whole cents is the remainder of the missing rows, which rank last among equals.
create or replace function etl.leftover_cent(
    rank bigint, remainder numeric, remainders numeric, whole numeric
)
returns integer
language sql
immutable
parallel safe
as $$
    select (
        rank + (mod(whole - mod(remainders, whole), whole) > remainder)::integer
        <= div(remainders + whole - 1, whole)
    )::integer
$$;

-- Grain: one row per order line given; all lines of an order have to be given together. Allocates
-- the amounts of orders to their lines, to the cent, by largest remainder: every share is rounded
-- down, and the remaining cents go to the largest remainders. A missing line (not loaded yet, or
-- quarantined) keeps its share. If the lines weigh more than their order, they share the order's
-- amount. If all weights are zero, the amount is split evenly over the present lines. Reads no
-- table, so that it works on lines of any layer.
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
with line as (
    select
        l.*,
        greatest(l.order_subtotal_cents, sum(l.line_total_cents) over one_order) as subtotal,
        count(*) over one_order as line_count
    from unnest(lines) as l
    window one_order as (partition by l.order_id)
),

-- Numeric, because an amount times a weight can exceed 64 bits.
weighed as (
    select
        l.*,
        case when l.subtotal > 0 then l.line_total_cents else 1 end::numeric as weight,
        case when l.subtotal > 0 then l.subtotal else l.line_count end as whole
    from line as l
),

floored as (
    select
        w.*,
        mod(w.order_discount_cents * w.weight, w.whole) as discount_remainder,
        mod(w.order_shipping_cents * w.weight, w.whole) as shipping_remainder,
        mod(w.order_tax_cents * w.weight, w.whole) as tax_remainder
    from weighed as w
    offset 0
),

ranked as (
    select
        f.*,
        sum(f.discount_remainder) over one_order as discount_remainders,
        sum(f.shipping_remainder) over one_order as shipping_remainders,
        sum(f.tax_remainder) over one_order as tax_remainders,
        row_number() over (
            one_order order by f.discount_remainder desc, f.order_line_id
        ) as discount_rank,
        row_number() over (
            one_order order by f.shipping_remainder desc, f.order_line_id
        ) as shipping_rank,
        row_number() over (
            one_order order by f.tax_remainder desc, f.order_line_id
        ) as tax_rank
    from floored as f
    window one_order as (partition by f.order_id)
),

-- In the order's currency. A share is at most its amount, so it fits into 64 bits.
shared as materialized (
    select
        s.*,
        greatest(s.order_total_cents, sum(s.total) over one_order) as total_whole
    from (
        select
            d.*,
            d.line_total_cents - d.discount as net,
            d.line_total_cents - d.discount + d.shipping + d.tax as total
        from (
            select
                r.*,
                (
                    div(r.order_discount_cents * r.weight, r.whole) + etl.leftover_cent(
                        r.discount_rank, r.discount_remainder, r.discount_remainders, r.whole
                    )
                )::bigint as discount,
                (
                    div(r.order_shipping_cents * r.weight, r.whole) + etl.leftover_cent(
                        r.shipping_rank, r.shipping_remainder, r.shipping_remainders, r.whole
                    )
                )::bigint as shipping,
                (
                    div(r.order_tax_cents * r.weight, r.whole) + etl.leftover_cent(
                        r.tax_rank, r.tax_remainder, r.tax_remainders, r.whole
                    )
                )::bigint as tax
            from ranked as r
            offset 0
        ) as d
    ) as s
    window one_order as (partition by s.order_id)
),

part as (
    select
        s.order_id,
        s.order_line_id,
        p.component,
        p.weight,
        s.order_base_total_cents::numeric as amount,
        s.total_whole as whole,
        3 * s.line_count as parts
    from shared as s
    cross join lateral (values (1, s.net), (2, s.shipping), (3, s.tax)) as p (component, weight)
    -- Where the whole is converted to itself, so is every part.
    where s.order_base_total_cents <> s.total_whole
),

part_weighed as (
    select
        p.*,
        p.amount * case when p.whole > 0 then p.weight else 1 end as worth,
        case when p.whole > 0 then p.whole else p.parts end as unit
    from part as p
),

part_ranked as (
    select
        p.*,
        mod(p.worth, p.unit) as remainder,
        sum(mod(p.worth, p.unit)) over (partition by p.order_id) as remainders,
        row_number() over (
            partition by p.order_id
            order by mod(p.worth, p.unit) desc, p.component, p.order_line_id
        ) as rank
    from part_weighed as p
),

part_shared as (
    select
        p.order_line_id,
        p.component,
        (
            div(p.worth, p.unit)
            + etl.leftover_cent(p.rank, p.remainder, p.remainders, p.unit)
        )::bigint as cents
    from part_ranked as p
),

-- In the base currency.
converted as (
    select
        p.order_line_id,
        sum(p.cents) filter (where p.component = 1) as net,
        sum(p.cents) filter (where p.component = 2) as shipping,
        sum(p.cents) filter (where p.component = 3) as tax,
        sum(p.cents) as total
    from part_shared as p
    group by p.order_line_id
),

line_in_base as (
    select
        s.order_id,
        s.order_line_id,
        coalesce(c.net, s.net)::bigint as net,
        -- Half up: no amount is negative.
        div(s.discount::numeric * s.exchange_rate_e8 + 50000000, 100000000)::bigint as discount,
        coalesce(c.shipping, s.shipping)::bigint as shipping,
        coalesce(c.tax, s.tax)::bigint as tax,
        coalesce(c.total, s.total)::bigint as total,
        s.order_base_total_cents,
        s.order_refund_cents as amount,
        s.line_count
    from shared as s
    left join converted as c on s.order_line_id = c.order_line_id
),

refund_weighed as (
    select
        l.order_id,
        l.order_line_id,
        l.amount * case when l.whole > 0 then l.total else 1 end::numeric as worth,
        case when l.whole > 0 then l.whole else l.line_count end as unit
    from (
        select
            b.*,
            greatest(
                b.order_base_total_cents, sum(b.total) over (partition by b.order_id)
            ) as whole
        from line_in_base as b
        where b.amount > 0
    ) as l
),

refund_ranked as (
    select
        r.*,
        mod(r.worth, r.unit) as remainder,
        sum(mod(r.worth, r.unit)) over (partition by r.order_id) as remainders,
        row_number() over (
            partition by r.order_id order by mod(r.worth, r.unit) desc, r.order_line_id
        ) as rank
    from refund_weighed as r
)

select
    l.order_line_id,
    l.net + l.discount as gross_revenue_cents,
    l.discount as discount_cents,
    l.net as net_revenue_cents,
    l.shipping as shipping_cents,
    l.tax as tax_cents,
    l.total as total_cents,
    coalesce(
        (
            div(r.worth, r.unit) + etl.leftover_cent(r.rank, r.remainder, r.remainders, r.unit)
        )::bigint,
        0
    ) as refund_cents
from line_in_base as l
left join refund_ranked as r on l.order_line_id = r.order_line_id
$$;
