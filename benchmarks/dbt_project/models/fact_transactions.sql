{{ config(
    unique_key='order_line_id',
    indexes=[
        {'columns': ['order_line_id'], 'unique': true},
        {'columns': ['date_key', 'ship_country']},
        {'columns': ['order_id']},
        {'columns': ['product_key']},
        {'columns': ['customer_key']},
        {'columns': ['_number']},
    ],
) }}
-- Grain: one row per order line, of the orders with new changes. The amounts of an order are
-- allocated to its lines, to the cent, by largest remainder, as etl.order_line_amounts does.
with
{% if is_incremental() %}
{% set last = watermark() %}
affected as (
    select o.order_id from {{ ref('stg_orders') }} as o where o._number > {{ last }}
    union
    select l.order_id from {{ ref('stg_order_lines') }} as l where l._number > {{ last }}
    union
    select p.order_id
    from {{ ref('stg_payments') }} as p
    where p._number > {{ last }} and p.kind = 'refund'
),
{% endif %}

refund as (
    select
        p.order_id,
        sum(div(p.amount_cents::numeric * o.exchange_rate_e8 + 50000000, 100000000)) as cents,
        max(p._number) as _number
    from {{ ref('stg_payments') }} as p
    inner join {{ ref('stg_orders') }} as o on p.order_id = o.order_id
    {%- if is_incremental() %}
    inner join affected as a on p.order_id = a.order_id
    {%- endif %}
    where p.kind = 'refund' and p.status = 'captured'
    group by p.order_id
),

-- Numeric, because an amount times a weight can exceed 64 bits.
line as (
    select
        l.order_line_id,
        l.order_id,
        l.line_number,
        l.product_id,
        l.warehouse_code,
        l.quantity,
        l.line_total_cents,
        o.order_id is not null as has_order,
        o.customer_id,
        o.placed_at,
        o.placed_date,
        o.paid_at,
        o.status,
        o.channel,
        o.currency,
        o.ship_country,
        o.ship_region,
        o.ship_region_code,
        o.ship_city,
        o.exchange_rate_e8,
        o.discount_cents,
        o.shipping_cents,
        o.tax_cents,
        o.total_cents,
        o.base_total_cents,
        coalesce(r.cents, 0) as refund_cents,
        greatest(l._number, o._number, r._number) as _number,
        greatest(o.subtotal_cents, sum(l.line_total_cents) over one_order) as subtotal_cents,
        count(*) over one_order as line_count
    from {{ ref('stg_order_lines') }} as l
    {%- if is_incremental() %}
    inner join affected as a on l.order_id = a.order_id
    {%- endif %}
    left join {{ ref('stg_orders') }} as o on l.order_id = o.order_id
    left join refund as r on l.order_id = r.order_id
    window one_order as (partition by l.order_id)
),

weighed as (
    select
        l.*,
        w.weight,
        w.unit,
        l.discount_cents * w.weight as discount_worth,
        l.shipping_cents * w.weight as shipping_worth,
        l.tax_cents * w.weight as tax_worth
    from line as l
    cross join lateral (
        select
            case when l.subtotal_cents > 0 then l.line_total_cents else 1 end::numeric as weight,
            case when l.subtotal_cents > 0 then l.subtotal_cents else l.line_count end as unit
    ) as w
),

ranked as (
    select
        w.*,
        {%- for name in ['discount', 'shipping', 'tax'] %}
        sum(mod(w.{{ name }}_worth, w.unit)) over one_order as {{ name }}_remainders,
        row_number() over (
            one_order order by mod(w.{{ name }}_worth, w.unit) desc, w.order_line_id
        ) as {{ name }}_rank{{ '' if loop.last else ',' }}
        {%- endfor %}
    from weighed as w
    window one_order as (partition by w.order_id)
),

-- In the order's currency.
shared as materialized (
    select
        s.*,
        greatest(s.total_cents, sum(s.net + s.shipping + s.tax) over one_order) as total_whole
    from (
        select
            d.*,
            d.line_total_cents - d.discount as net
        from (
            select
                r.*,
                {%- for name in ['discount', 'shipping', 'tax'] %}
                {{ share('r.' ~ name ~ '_worth', 'r.unit', 'r.' ~ name ~ '_remainders',
                         'r.' ~ name ~ '_rank') }} as {{ name }}{{ '' if loop.last else ',' }}
                {%- endfor %}
            from ranked as r
            offset 0
        ) as d
    ) as s
    window one_order as (partition by s.order_id)
),

-- In the base currency: net, shipping and tax of all lines share the order's amount.
part as (
    select
        s.order_id,
        s.order_line_id,
        p.component,
        s.base_total_cents::numeric
        * case when s.total_whole > 0 then p.weight else 1 end as worth,
        case when s.total_whole > 0 then s.total_whole else 3 * s.line_count end as unit
    from shared as s
    cross join lateral (values (1, s.net), (2, s.shipping), (3, s.tax)) as p (component, weight)
    where s.base_total_cents <> s.total_whole
),

part_ranked as (
    select
        p.*,
        sum(mod(p.worth, p.unit)) over (partition by p.order_id) as remainders,
        row_number() over (
            partition by p.order_id order by mod(p.worth, p.unit) desc, p.component, p.order_line_id
        ) as rank
    from part as p
),

converted as (
    select
        c.order_line_id,
        sum(c.cents) filter (where c.component = 1) as net,
        sum(c.cents) filter (where c.component = 2) as shipping,
        sum(c.cents) filter (where c.component = 3) as tax
    from (
        select
            p.order_line_id,
            p.component,
            {{ share('p.worth', 'p.unit', 'p.remainders', 'p.rank') }} as cents
        from part_ranked as p
    ) as c
    group by c.order_line_id
),

in_base as (
    select
        s.*,
        coalesce(c.net, s.net)::bigint as base_net,
        div(s.discount::numeric * s.exchange_rate_e8 + 50000000, 100000000)::bigint
            as base_discount,
        coalesce(c.shipping, s.shipping)::bigint as base_shipping,
        coalesce(c.tax, s.tax)::bigint as base_tax
    from shared as s
    left join converted as c on s.order_line_id = c.order_line_id
),

refund_ranked as (
    select
        r.*,
        sum(mod(r.worth, r.whole)) over (partition by r.order_id) as remainders,
        row_number() over (
            partition by r.order_id order by mod(r.worth, r.whole) desc, r.order_line_id
        ) as rank
    from (
        select
            w.order_id,
            w.order_line_id,
            w.refund_cents * case when w.whole > 0 then w.total else 1 end::numeric as worth,
            case when w.whole > 0 then w.whole else w.line_count end as whole
        from (
            select
                b.*,
                b.base_net + b.base_shipping + b.base_tax as total,
                greatest(
                    b.base_total_cents,
                    sum(b.base_net + b.base_shipping + b.base_tax) over (partition by b.order_id)
                ) as whole
            from in_base as b
            where b.refund_cents > 0
        ) as w
    ) as r
)

select
    b.order_line_id,
    b.order_id,
    b.line_number,
    coalesce(b.placed_date, '0001-01-01') as date_key,
    coalesce(p.product_key, -1) as product_key,
    case when b.has_order and b.customer_id is null then -2 else coalesce(c.customer_key, -1) end
        as customer_key,
    b.product_id,
    b.customer_id,
    b.placed_at,
    b.has_order and not (b.status = 'cancelled' and b.paid_at is null) as counts,
    b.status,
    b.channel,
    b.currency,
    b.ship_country,
    b.ship_region,
    b.ship_region_code,
    b.ship_city,
    b.warehouse_code,
    b.quantity as units,
    b.base_net + b.base_discount as gross_revenue_cents,
    b.base_discount as discount_cents,
    b.base_net as net_revenue_cents,
    b.base_shipping as shipping_cents,
    b.base_tax as tax_cents,
    b.base_net + b.base_shipping + b.base_tax as total_cents,
    case
        when b.has_order
            then
                coalesce({{ share('r.worth', 'r.whole', 'r.remainders', 'r.rank') }}, 0)
    end as refund_cents,
    b.quantity * p.cost_cents as cost_cents,
    b.base_net - b.quantity * p.cost_cents as margin_cents,
    b._number
from in_base as b
left join refund_ranked as r on b.order_line_id = r.order_line_id
left join {{ ref('dim_products') }} as p
    on
        b.product_id = p.product_id
        and p.valid_from_at <= b.placed_at
        and (p.valid_to_at is null or b.placed_at < p.valid_to_at)
left join {{ ref('dim_customers') }} as c
    on
        b.customer_id = c.customer_id
        and c.valid_from_at <= b.placed_at
        and (c.valid_to_at is null or b.placed_at < c.valid_to_at)
