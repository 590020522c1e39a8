-- What is newer than the star, and the shop's rows with it. A row of `live` counts only while it is
-- beyond etl.watermark of its partition: the star has the others, or newer ones.

-- Grain: one row. What views have to know of the shop: settings, and limits of gold's contract.
create table etl.shop (
    is_only boolean primary key default true check (is_only),
    time_zone text not null,
    base_currency text not null,
    demand_days integer not null,
    critical_days integer not null,
    low_days integer not null,
    overstocked_days integer not null
);

-- Grain: one row per source table: the topic that the live consumer reads, and its epoch.
create table live.topic (
    entity text primary key,
    topic_id text not null,
    epoch integer not null,
    partition_count integer not null
);

-- Grain: one row per source table and partition that the live consumer has read. Written in the
-- transaction of the rows.
create table live.watermark (
    entity text not null,
    topic_id text not null,
    epoch integer not null,
    partition integer not null,
    last_offset bigint not null,
    last_committed_at timestamptz,
    primary key (entity, topic_id, epoch, partition)
);

-- Grain: one row per source of heartbeats.
create table live.heartbeat (
    source text primary key,
    beat_at timestamptz not null
);

-- Grain: one row, of the consumer. It is full when it waits for a consolidation to make room.
create table live.state (
    is_only boolean primary key default true check (is_only),
    is_full boolean not null
);
insert into live.state (is_full)
values (false);

-- The same columns as in entity, and whether the row was deleted: then only key and coordinate are
-- there.
do $$
declare
    entity text;
    key text[];
    nullable text;
begin
    for entity, key in
        values
            ('suppliers', array['supplier_id']),
            ('products', array['product_id']),
            ('products_history', array['product_id', '_epoch', '_offset']),
            ('customers', array['customer_id']),
            ('orders', array['order_id']),
            ('order_lines', array['order_line_id']),
            ('payments', array['payment_id']),
            ('stock_movements', array['movement_id']),
            ('interactions', array['interaction_id'])
    loop
        execute format(
            'create table live.%I (like entity.%I, _is_deleted boolean not null, primary key (%s))',
            entity, entity, array_to_string(key, ', ')
        );
        for nullable in
            select a.attname
            from pg_attribute as a
            where
                a.attrelid = format('live.%I', entity)::regclass
                and a.attnum > 0
                and a.attnotnull
                and a.attname <> all(key || array[
                    '_topic_id', '_epoch', '_partition', '_offset', '_is_deleted', 'valid_from_at'
                ])
        loop
            execute format('alter table live.%I alter column %I drop not null', entity, nullable);
        end loop;
    end loop;
end
$$;

create index order_lines_order_idx on live.order_lines (order_id);
create index payments_order_idx on live.payments (order_id);
create index interactions_occurred_idx on live.interactions (occurred_at);
create index stock_movements_product_idx on live.stock_movements (product_id, warehouse_code);

-- Grain: one row per order that live has computed anew: for these its lines count, not the star's.
create table live.overlaid_orders (
    order_id bigint primary key
);

-- Grain: one row per line of those orders; columns as in fact_transactions, with the product's
-- words.
create table live.sales (
    like mart.fact_transactions,
    product_name text not null,
    category text not null,
    brand text not null,
    primary key (order_line_id)
);
create index sales_order_idx on live.sales (order_id);
create index sales_placed_idx on live.sales (placed_at);

-- The shop's rows as of now: what live has beyond the star, and the star's entities else.
create schema resolved;

-- Makes live.beyond_<entity>, the rows that count, and resolved.<entity>. To be called again when
-- an entity gets a column.
create function etl.make_resolved_views()
returns void
language plpgsql
as $$
declare
    entity text;
    source text;
    key text;
    columns text;
begin
    for entity, source, key in
        values
            ('suppliers', 'suppliers', 'supplier_id'),
            ('products', 'products', 'product_id'),
            ('products_history', 'products', null),
            ('customers', 'customers', 'customer_id'),
            ('orders', 'orders', 'order_id'),
            ('order_lines', 'order_lines', 'order_line_id'),
            ('payments', 'payments', 'payment_id'),
            ('stock_movements', 'stock_movements', 'movement_id'),
            ('interactions', 'interactions', 'interaction_id')
    loop
        -- As etl.is_beyond_star says it, in a form that the planner sees through.
        execute format(
            'create or replace view live.beyond_%1$s as
            select l.*
            from live.%1$I as l
            where not exists (
                select
                from etl.watermark as w
                where
                    w.entity = %2$L
                    and (
                        w.epoch > l._epoch
                        or (
                            w.epoch = l._epoch
                            and w.topic_id = l._topic_id
                            and w.partition = l._partition
                            and w.last_offset >= l._offset
                        )
                    )
            )',
            entity, source
        );
        if key is null then
            continue;
        end if;
        columns := (
            select string_agg(format('r.%I', a.attname), ', ' order by a.attnum)
            from pg_attribute as a
            where
                a.attrelid = format('entity.%I', entity)::regclass
                and a.attnum > 0
                and not a.attisdropped
        );
        execute format(
            'create or replace view resolved.%1$I as
            select %2$s
            from entity.%1$I as r
            where not exists (
                select from live.beyond_%1$s as b where b.%3$I = r.%3$I
            )
            union all
            select %2$s
            from live.beyond_%1$s as r
            where not r._is_deleted',
            entity, columns, key
        );
    end loop;
end
$$;

select etl.make_resolved_views();

-- Grain: one row per order line of the shop, as of now.
create view mart.live_sales as
select
    f.order_line_id,
    f.order_id,
    f.line_number,
    f.placed_at,
    f.date_key,
    f.counts,
    f.status,
    f.channel,
    f.currency,
    f.ship_country,
    f.ship_region,
    f.ship_region_code,
    f.ship_city,
    f.customer_id,
    f.product_id,
    p.name as product_name,
    p.category,
    p.brand,
    f.warehouse_code,
    f.units,
    f.gross_revenue_cents,
    f.discount_cents,
    f.net_revenue_cents,
    f.shipping_cents,
    f.tax_cents,
    f.total_cents,
    f.refund_cents,
    f.cost_cents,
    f.margin_cents
from mart.fact_transactions as f
inner join mart.dim_products as p on f.product_key = p.product_key
where
    not exists (
        select
        from live.overlaid_orders as o
        where o.order_id = f.order_id
    )
union all
select
    s.order_line_id,
    s.order_id,
    s.line_number,
    s.placed_at,
    s.date_key,
    s.counts,
    s.status,
    s.channel,
    s.currency,
    s.ship_country,
    s.ship_region,
    s.ship_region_code,
    s.ship_city,
    s.customer_id,
    s.product_id,
    s.product_name,
    s.category,
    s.brand,
    s.warehouse_code,
    s.units,
    s.gross_revenue_cents,
    s.discount_cents,
    s.net_revenue_cents,
    s.shipping_cents,
    s.tax_cents,
    s.total_cents,
    s.refund_cents,
    s.cost_cents,
    s.margin_cents
from live.sales as s;

-- Grain: one row per product and warehouse with movements: what the last day closed with.
create table mart.stock_levels (
    product_id bigint not null,
    warehouse_code text not null,
    on_hand_units bigint not null,
    last_date date not null,
    primary key (product_id, warehouse_code)
);
insert into mart.stock_levels (product_id, warehouse_code, on_hand_units, last_date)
select distinct on (f.product_id, f.warehouse_code)
    f.product_id,
    f.warehouse_code,
    f.closing_units,
    f.date_key
from mart.fact_stocks as f
order by f.product_id asc, f.warehouse_code asc, f.date_key desc;
