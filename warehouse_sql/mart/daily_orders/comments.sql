comment on table mart.daily_orders
is 'Sums of the orders that count, one row per day, country of delivery and channel. Numbers of '
'orders are additive here, unlike over the categories of daily_sales.';
comment on column mart.daily_orders.date_key is 'Day on which the orders were placed.';
comment on column mart.daily_orders.ship_country
is 'Country of delivery, ISO 3166-1 alpha-2.';
comment on column mart.daily_orders.channel is 'Where the order was placed.';
