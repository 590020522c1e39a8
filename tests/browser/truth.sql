-- What the shop's own tables come to, worked out beside the pipeline: tests compare charts with it.
-- Outside the schema public, so nothing of it is captured.
create schema truth;

-- The shop keeps only the present cost of a product; a margin needs the one of its day.
create table truth.product_costs (
    product_id bigint not null,
    valid_from_at timestamptz not null,
    cost_amount numeric not null
);

create index on truth.product_costs (product_id);

create function truth.keep_cost() returns trigger
language plpgsql security definer as $$
begin
    insert into truth.product_costs values (new.product_id, new.updated_at, new.cost_amount);
    return null;
end
$$;

create trigger keep_cost after insert or update on public.products
for each row execute function truth.keep_cost();

-- Orders up to here have been consolidated; none yet.
create table truth.consolidated as select 0::bigint as last_order_id, now() as consolidated_at;

-- Grain: one row per order that counts. Amounts in the base currency.
create view truth.live_orders as
select
    o.*,
    (o.placed_at at time zone 'Europe/Paris')::date as day,
    (o.subtotal_amount - o.discount_amount) * o.exchange_rate as net,
    (select count(*) from public.order_lines as l where l.order_id = o.order_id) as lines,
    coalesce(
        (
            select sum(round(p.amount * o.exchange_rate, 2))
            from public.payments as p
            where p.order_id = o.order_id and p.kind = 'refund' and p.status = 'captured'
        ), 0
    ) as refund
from public.orders as o
where
    not (o.status = 'cancelled' and o.paid_at is null)
    -- In quarantine; no other row is.
    and length(o.ship_region) <= 400
    and exists (select from public.order_lines as l where l.order_id = o.order_id);

-- Grain: one row per line of an order that counts. Shares are not rounded to the cent.
create view truth.live_lines as
select
    l.order_line_id,
    l.product_id,
    p.name || ' · ' || p.sku as product,
    p.category,
    p.brand,
    l.quantity as units,
    o.order_id,
    o.day,
    o.placed_at,
    o.channel,
    o.ship_country,
    o.ship_region,
    l.line_total_amount * o.exchange_rate as gross,
    l.line_total_amount * o.exchange_rate * part.of_subtotal as net,
    o.refund * l.line_total_amount / nullif(o.subtotal_amount, 0) as refund,
    l.quantity * cost.cost_amount as cost
from public.order_lines as l
inner join truth.live_orders as o on l.order_id = o.order_id
inner join public.products as p on l.product_id = p.product_id
cross join
    lateral (
        select
            1 - coalesce(o.discount_amount / nullif(o.subtotal_amount, 0), 0) as of_subtotal
    ) as part
cross join
    lateral (
        select c.cost_amount
        from truth.product_costs as c
        where c.product_id = l.product_id
        order by c.valid_from_at <= o.placed_at desc, abs(extract(epoch from c.valid_from_at - o.placed_at))
        limit 1
    ) as cost;

create view truth.orders as
select o.*
from truth.live_orders as o
inner join truth.consolidated as c on o.order_id <= c.last_order_id;

create view truth.lines as
select l.*
from truth.live_lines as l
inner join truth.consolidated as c on l.order_id <= c.last_order_id;

-- Grain: one row per day, device and visit. How far it came: a visit at the checkout had a cart,
-- even where that was given up since and its row is gone.
create view truth.visits as
select
    (i.occurred_at at time zone 'Europe/Paris')::date as day,
    i.device,
    i.session_id,
    bool_or(i.interaction_type <> 'review') as is_visit,
    bool_or(i.interaction_type in ('cart', 'checkout', 'purchase')) as has_cart,
    bool_or(i.interaction_type in ('checkout', 'purchase')) as has_checkout,
    bool_or(i.interaction_type = 'purchase') as has_purchase
from public.interactions as i
group by 1, 2, 3;
