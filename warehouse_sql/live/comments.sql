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
