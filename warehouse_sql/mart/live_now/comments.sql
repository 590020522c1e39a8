comment on view mart.live_now
is 'One row: current sales, and today compared with yesterday until the same time.';
comment on column mart.live_now.orders_per_second
is 'Orders placed per second, over the last 30 seconds.';
comment on column mart.live_now.orders_last_hour
is 'Orders placed in the last 60 minutes.';
comment on column mart.live_now.orders_today
is 'Orders placed today, in the shop''s time zone.';
comment on column mart.live_now.orders_yesterday
is 'Orders placed yesterday until the same time of day.';
comment on column mart.live_now.net_revenue_last_hour_cents
is 'Net revenue of the orders of the last 60 minutes, in cents of the base currency.';
comment on column mart.live_now.net_revenue_today_cents
is 'Net revenue of today''s orders, in cents of the base currency.';
comment on column mart.live_now.net_revenue_yesterday_cents
is 'Net revenue of yesterday''s orders until the same time of day, in cents of the base currency.';
comment on column mart.live_now.revenue_change
is 'Net revenue today compared with yesterday until the same time: the difference as a share of '
'yesterday''s; empty if that was zero.';
