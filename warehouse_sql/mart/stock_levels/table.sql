create table mart.stock_levels (
    product_id bigint not null,
    warehouse_code text not null,
    on_hand_units bigint not null,
    last_date date not null,
    primary key (product_id, warehouse_code)
);
