-- Grain: one row per table of the shop, column and value that is in no list of the contract: how
-- many rows count as unknown by it, as of the version of silver that the star was made from.
create table etl.unknown_value (
    entity text not null,
    column_name text not null,
    value text not null,
    row_count bigint not null,
    example_key bigint not null,
    silver_version bigint not null,
    primary key (entity, column_name, value)
);

-- Whether there are any such rows is asked after each load.
create index suppliers_unknown_idx on entity.suppliers (supplier_id)
where country = 'unknown';
create index products_unknown_idx on entity.products (product_id)
where category = 'unknown';
create index customers_unknown_idx on entity.customers (customer_id)
where country = 'unknown';
create index orders_unknown_idx on entity.orders (order_id)
where channel = 'unknown' or currency = 'unknown' or ship_country = 'unknown';
create index payments_unknown_idx on entity.payments (payment_id)
where method = 'unknown' or currency = 'unknown';
create index stock_movements_unknown_idx on entity.stock_movements (movement_id)
where kind = 'unknown';
create index interactions_unknown_idx on entity.interactions (interaction_id)
where interaction_type = 'unknown' or device = 'unknown';
