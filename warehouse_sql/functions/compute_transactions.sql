-- Computes the lines of the orders in order_chunk into new_transactions. Grain: one row per order
-- line. The search path determines the source tables: `entity` of the warehouse, or temporary
-- tables that live fills with current rows. Warehouse and live therefore use the same formulas.
create or replace function etl.compute_transactions()
returns void
language plpgsql
as $$
begin
    insert into new_transactions (
        order_line_id, order_id, line_number, date_key, product_key, customer_key, product_id,
        customer_id, placed_at, counts, status, channel, currency, ship_country, ship_region,
        ship_region_code, ship_city, warehouse_code, units, gross_revenue_cents, discount_cents,
        net_revenue_cents, shipping_cents, tax_cents, total_cents, refund_cents, cost_cents,
        margin_cents
    )
    with line as (
        select
            l.order_line_id,
            l.order_id,
            l.line_number,
            l.product_id,
            l.warehouse_code,
            l.quantity,
            l.line_total_cents
        from order_chunk as t
        inner join order_lines as l on t.order_id = l.order_id
    ),

    refund as (
        select
            p.order_id,
            sum(etl.payment_worth(p.amount_cents, o.exchange_rate_e8)) as cents
        from order_chunk as t
        inner join orders as o on t.order_id = o.order_id
        inner join payments as p on t.order_id = p.order_id
        where p.kind = 'refund' and p.status = 'captured'
        group by p.order_id
    ),

    given as (
        select
            array_agg(
                row(
                    l.order_line_id,
                    l.order_id,
                    l.line_total_cents,
                    o.subtotal_cents,
                    o.discount_cents,
                    o.shipping_cents,
                    o.tax_cents,
                    o.total_cents,
                    o.base_total_cents,
                    coalesce(r.cents, 0),
                    o.exchange_rate_e8
                )::etl.order_line_input
            ) as lines
        from line as l
        inner join orders as o on l.order_id = o.order_id
        left join refund as r on l.order_id = r.order_id
    ),

    amount as materialized (
        select a.*
        from given as g
        cross join lateral etl.order_line_amounts(g.lines) as a
    )

    select
        l.order_line_id,
        l.order_id,
        l.line_number,
        coalesce(o.placed_date, '0001-01-01') as date_key,
        coalesce(p.product_key, -1) as product_key,
        case
            when o.order_id is not null and o.customer_id is null then -2
            else coalesce(c.customer_key, -1)
        end as customer_key,
        l.product_id,
        o.customer_id,
        o.placed_at,
        o.order_id is not null and not (o.status = 'cancelled' and o.paid_at is null) as counts,
        o.status,
        o.channel,
        o.currency,
        o.ship_country,
        o.ship_region,
        o.ship_region_code,
        o.ship_city,
        l.warehouse_code,
        l.quantity as units,
        a.gross_revenue_cents,
        a.discount_cents,
        a.net_revenue_cents,
        a.shipping_cents,
        a.tax_cents,
        a.total_cents,
        a.refund_cents,
        l.quantity * p.cost_cents as cost_cents,
        a.net_revenue_cents - l.quantity * p.cost_cents as margin_cents
    from line as l
    left join orders as o on l.order_id = o.order_id
    left join amount as a on l.order_line_id = a.order_line_id
    left join lateral (
        select
            d.product_key,
            d.cost_cents
        from product_at(l.product_id, o.placed_at) as d
    ) as p on true
    left join lateral (
        select d.customer_key
        from customer_at(o.customer_id, o.placed_at) as d
    ) as c on true;
end
$$;
