-- Grain: one row per order or order line with quarantined changes, as the newest of them has it.
-- Amounts are the shop's, in the order's currency.
create table etl.quarantined_sale (
    entity text not null,
    row_key bigint not null,
    rule text not null,
    order_id bigint not null,
    amount numeric,
    discount numeric,
    exchange_rate numeric,
    counts boolean not null,
    placed_at timestamptz,
    primary key (entity, row_key)
);

-- Grain: one row per day of the order, table of the shop and rule: net revenue that is in no table
-- of the mart, because its rows are in quarantine and nowhere else.
create table etl.left_out (
    date_key date not null,
    entity text not null,
    rule text not null,
    row_count bigint not null,
    left_out_cents bigint not null,
    primary key (date_key, entity, rule)
);

-- Quarantine is read again, for these.
delete from etl.lake_table
where layer = 'silver' and table_name = 'quarantine';
