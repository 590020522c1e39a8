comment on table mart.daily_products
is 'One row per day and product that was sold or viewed; sales of the orders that count.';
comment on column mart.daily_products.date_key
is 'The day.';
