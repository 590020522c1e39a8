comment on view mart.live_latest_orders
is 'One row per order, the 20 latest of the last two days.';
comment on column mart.live_latest_orders.lines
is 'Number of lines of the order.';
comment on column mart.live_latest_orders.total_cents
is 'Total of the order, with shipping and tax, in cents of the base currency.';
