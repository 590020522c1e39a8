comment on table live.suppliers
is 'As entity.suppliers, for recent changes. A row counts until the warehouse has applied its '
'change.';
comment on column live.suppliers._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view live.beyond_suppliers
is 'Rows of live.suppliers that the warehouse has not applied yet.';
comment on column live.beyond_suppliers._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view resolved.suppliers
is 'As entity.suppliers, as of now: rows of live take precedence over the warehouse.';
comment on table live.products
is 'As entity.products, for recent changes. A row counts until the warehouse has applied its '
'change.';
comment on column live.products._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view live.beyond_products
is 'Rows of live.products that the warehouse has not applied yet.';
comment on column live.beyond_products._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view resolved.products
is 'As entity.products, as of now: rows of live take precedence over the warehouse.';
comment on table live.products_history
is 'As entity.products_history, for recent changes. A row counts until the warehouse has applied '
'its change.';
comment on column live.products_history._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view live.beyond_products_history
is 'Rows of live.products_history that the warehouse has not applied yet.';
comment on column live.beyond_products_history._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on table live.customers
is 'As entity.customers, for recent changes. A row counts until the warehouse has applied its '
'change.';
comment on column live.customers._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view live.beyond_customers
is 'Rows of live.customers that the warehouse has not applied yet.';
comment on column live.beyond_customers._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view resolved.customers
is 'As entity.customers, as of now: rows of live take precedence over the warehouse.';
comment on table live.orders
is 'As entity.orders, for recent changes. A row counts until the warehouse has applied its change.';
comment on column live.orders._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view live.beyond_orders
is 'Rows of live.orders that the warehouse has not applied yet.';
comment on column live.beyond_orders._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view resolved.orders
is 'As entity.orders, as of now: rows of live take precedence over the warehouse.';
comment on table live.order_lines
is 'As entity.order_lines, for recent changes. A row counts until the warehouse has applied its '
'change.';
comment on column live.order_lines._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view live.beyond_order_lines
is 'Rows of live.order_lines that the warehouse has not applied yet.';
comment on column live.beyond_order_lines._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view resolved.order_lines
is 'As entity.order_lines, as of now: rows of live take precedence over the warehouse.';
comment on table live.payments
is 'As entity.payments, for recent changes. A row counts until the warehouse has applied its '
'change.';
comment on column live.payments._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view live.beyond_payments
is 'Rows of live.payments that the warehouse has not applied yet.';
comment on column live.beyond_payments._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view resolved.payments
is 'As entity.payments, as of now: rows of live take precedence over the warehouse.';
comment on table live.stock_movements
is 'As entity.stock_movements, for recent changes. A row counts until the warehouse has applied '
'its change.';
comment on column live.stock_movements._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view live.beyond_stock_movements
is 'Rows of live.stock_movements that the warehouse has not applied yet.';
comment on column live.beyond_stock_movements._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view resolved.stock_movements
is 'As entity.stock_movements, as of now: rows of live take precedence over the warehouse.';
comment on table live.interactions
is 'As entity.interactions, for recent changes. A row counts until the warehouse has applied its '
'change.';
comment on column live.interactions._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view live.beyond_interactions
is 'Rows of live.interactions that the warehouse has not applied yet.';
comment on column live.beyond_interactions._is_deleted
is 'Whether the row was deleted: then only key and coordinate are set.';
comment on view resolved.interactions
is 'As entity.interactions, as of now: rows of live take precedence over the warehouse.';
comment on table live.watermark
is 'One row per source table and partition: the watermark of the live consumer.';
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
is 'Commit time of the newest change by the shop''s clock; at most the time of its arrival.';
comment on table live.heartbeat
is 'One row per source of heartbeats of the shop.';
comment on column live.heartbeat.source
is 'Writer of the heartbeats.';
comment on column live.heartbeat.sent_at
is 'The last heartbeat before which no change is missing, by the clock of the shop.';
comment on column live.heartbeat.read_at
is 'When it arrived, by the clock of the warehouse.';
comment on column live.heartbeat.lateness_seconds
is 'Delay of each of the last 30 heartbeats, newest first, in seconds; negative if its instant was '
'in the future.';
comment on table live.state
is 'One row: state of the live consumer.';
comment on column live.state.is_only
is 'Always true.';
comment on column live.state.is_full
is 'Whether it waits for a consolidation to free space.';
comment on table live.overlaid_orders
is 'One row per order whose lines are read from live.sales instead of the warehouse.';
comment on column live.overlaid_orders.order_id
is 'The order.';
comment on table live.sales
is 'One row per line of the orders that the live consumer has computed.';
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
is 'One row: settings of the shop that views need.';
comment on column etl.shop.is_only
is 'Always true.';
comment on column etl.shop.time_zone
is 'Time zone of business days.';
comment on column etl.shop.base_currency
is 'Currency of all amounts in cents.';
comment on column etl.shop.demand_days
is 'Days of sales from which the days of cover are computed.';
comment on column etl.shop.critical_days
is 'Fewer days of cover are critical.';
comment on column etl.shop.low_days
is 'Fewer days of cover are low.';
comment on column etl.shop.overstocked_days
is 'This many days of cover or more are overstocked.';
comment on table live.topic
is 'One row per source table: the topic that the live consumer reads.';
comment on column live.topic.entity
is 'The shop''s table.';
comment on column live.topic.topic_id
is 'Kafka topic, by id.';
comment on column live.topic.epoch
is 'Epoch of that topic.';
comment on column live.topic.partition_count
is 'Number of its partitions.';
comment on column live.products_history._is_first
is 'Whether it is the first version of its product, which is valid from -infinity.';
comment on column live.beyond_products_history._is_first
is 'Whether it is the first version of its product, which is valid from -infinity.';
