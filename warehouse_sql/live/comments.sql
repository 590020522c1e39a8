comment on table live.suppliers
is 'As entity.suppliers, of recent changes. A row counts while it is beyond the warehouse.';
comment on column live.suppliers._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view live.beyond_suppliers
is 'Rows of live.suppliers that count: the warehouse does not have them yet.';
comment on column live.beyond_suppliers._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view resolved.suppliers
is 'As entity.suppliers, as of now: live over the warehouse.';
comment on table live.products
is 'As entity.products, of recent changes. A row counts while it is beyond the warehouse.';
comment on column live.products._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view live.beyond_products
is 'Rows of live.products that count: the warehouse does not have them yet.';
comment on column live.beyond_products._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view resolved.products
is 'As entity.products, as of now: live over the warehouse.';
comment on table live.products_history
is 'As entity.products_history, of recent changes. A row counts while it is beyond the warehouse.';
comment on column live.products_history._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view live.beyond_products_history
is 'Rows of live.products_history that count: the warehouse does not have them yet.';
comment on column live.beyond_products_history._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on table live.customers
is 'As entity.customers, of recent changes. A row counts while it is beyond the warehouse.';
comment on column live.customers._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view live.beyond_customers
is 'Rows of live.customers that count: the warehouse does not have them yet.';
comment on column live.beyond_customers._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view resolved.customers
is 'As entity.customers, as of now: live over the warehouse.';
comment on table live.orders
is 'As entity.orders, of recent changes. A row counts while it is beyond the warehouse.';
comment on column live.orders._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view live.beyond_orders
is 'Rows of live.orders that count: the warehouse does not have them yet.';
comment on column live.beyond_orders._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view resolved.orders
is 'As entity.orders, as of now: live over the warehouse.';
comment on table live.order_lines
is 'As entity.order_lines, of recent changes. A row counts while it is beyond the warehouse.';
comment on column live.order_lines._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view live.beyond_order_lines
is 'Rows of live.order_lines that count: the warehouse does not have them yet.';
comment on column live.beyond_order_lines._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view resolved.order_lines
is 'As entity.order_lines, as of now: live over the warehouse.';
comment on table live.payments
is 'As entity.payments, of recent changes. A row counts while it is beyond the warehouse.';
comment on column live.payments._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view live.beyond_payments
is 'Rows of live.payments that count: the warehouse does not have them yet.';
comment on column live.beyond_payments._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view resolved.payments
is 'As entity.payments, as of now: live over the warehouse.';
comment on table live.stock_movements
is 'As entity.stock_movements, of recent changes. A row counts while it is beyond the warehouse.';
comment on column live.stock_movements._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view live.beyond_stock_movements
is 'Rows of live.stock_movements that count: the warehouse does not have them yet.';
comment on column live.beyond_stock_movements._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view resolved.stock_movements
is 'As entity.stock_movements, as of now: live over the warehouse.';
comment on table live.interactions
is 'As entity.interactions, of recent changes. A row counts while it is beyond the warehouse.';
comment on column live.interactions._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view live.beyond_interactions
is 'Rows of live.interactions that count: the warehouse does not have them yet.';
comment on column live.beyond_interactions._is_deleted
is 'Whether the row was deleted: then only key and coordinate are here.';
comment on view resolved.interactions
is 'As entity.interactions, as of now: live over the warehouse.';
comment on table live.watermark
is 'One row per source table and partition that the live consumer has read.';
comment on column live.watermark.entity
is 'The shop''s table.';
comment on column live.watermark.topic_id
is 'Kafka topic, by id.';
comment on column live.watermark.epoch
is 'Epoch of that topic.';
comment on column live.watermark.partition
is 'Partition of that topic.';
comment on column live.watermark.last_offset
is 'The last offset that was applied.';
comment on column live.watermark.last_committed_at
is 'When the newest change of it was committed in the shop, by its clock; at the latest, when it '
'came.';
comment on table live.heartbeat
is 'One row per source of heartbeats of the shop.';
comment on column live.heartbeat.source
is 'Who has them written.';
comment on column live.heartbeat.sent_at
is 'The last heartbeat before which nothing of the shop is missing, by the clock of the shop.';
comment on column live.heartbeat.read_at
is 'When it came, by the clock of the warehouse.';
comment on column live.heartbeat.lateness_seconds
is 'How long after its instant each of the last 30 heartbeats came, newest first; below 0 if that '
'was '
'in the future.';
comment on table live.state
is 'One row: how the live consumer is.';
comment on column live.state.is_only
is 'Always true.';
comment on column live.state.is_full
is 'Whether it waits for a consolidation to make room.';
comment on table live.overlaid_orders
is 'One row per order whose lines are taken from live.sales instead of the warehouse.';
comment on column live.overlaid_orders.order_id
is 'The order.';
comment on table live.sales
is 'One row per line of the orders that live has computed.';
comment on column live.sales.date_key
is 'Day on which the order was placed.';
comment on column live.sales.counts
is 'Whether the order counts: it was not cancelled before it was paid.';
comment on column live.sales.units
is 'Units sold: the line''s quantity.';
comment on column live.sales.product_name
is 'Name of the product when the order was placed.';
comment on column live.sales.category
is 'Category of the product when the order was placed.';
comment on column live.sales.brand
is 'Brand of the product when the order was placed.';
comment on column live.sales.product_key
is 'The product as it was when the order was placed.';
comment on column live.sales.customer_key
is 'The customer as they were when the order was placed; -2 once the account is deleted.';
comment on table etl.shop
is 'One row: what views have to know of the shop.';
comment on column etl.shop.is_only
is 'Always true.';
comment on column etl.shop.time_zone
is 'Business days begin and end in it.';
comment on column etl.shop.base_currency
is 'All amounts in cents are in it.';
comment on column etl.shop.demand_days
is 'Days over which sales are counted for the cover of stock.';
comment on column etl.shop.critical_days
is 'Fewer days of cover are critical.';
comment on column etl.shop.low_days
is 'Fewer days of cover are low.';
comment on column etl.shop.overstocked_days
is 'As many days of cover are too much.';
comment on table live.topic
is 'One row per source table: the topic that the live consumer reads.';
comment on column live.topic.entity
is 'The shop''s table.';
comment on column live.topic.topic_id
is 'Kafka topic, by id.';
comment on column live.topic.epoch
is 'Epoch of that topic.';
comment on column live.topic.partition_count
is 'How many partitions it has.';
comment on column live.products_history._is_first
is 'Whether it is the first version of its product: such a one counts from -infinity.';
comment on column live.beyond_products_history._is_first
is 'Whether it is the first version of its product: such a one counts from -infinity.';
