-- Indexes of entities get the names of their columns, as generated SQL gives them.
alter index if exists entity.stock_movements_product_warehouse_date_idx
rename to stock_movements_product_id_warehouse_code_occurred_date_idx;
alter index if exists entity.suppliers_unknown_idx rename to suppliers_unknown_country_idx;
alter index if exists entity.products_unknown_idx rename to products_unknown_category_idx;
alter index if exists entity.customers_unknown_idx rename to customers_unknown_country_idx;
alter index if exists entity.orders_unknown_idx
rename to orders_unknown_channel_currency_ship_country_idx;
alter index if exists entity.payments_unknown_idx rename to payments_unknown_method_currency_idx;
alter index if exists entity.stock_movements_unknown_idx rename to stock_movements_unknown_kind_idx;
alter index if exists entity.interactions_unknown_idx
rename to interactions_unknown_interaction_type_device_idx;
alter index if exists live.order_lines_order_idx rename to order_lines_order_id_idx;
alter index if exists live.payments_order_idx rename to payments_order_id_idx;
alter index if exists live.interactions_occurred_idx rename to interactions_occurred_at_idx;
drop index if exists live.stock_movements_product_idx;
