comment on table mart.daily_sales
is 'Sums of the orders that count, one row per day, country of delivery, channel and category.';
comment on column mart.daily_sales.date_key
is 'Day on which the orders were placed.';
comment on column mart.daily_sales.category
is 'The product''s category when the order was placed.';
