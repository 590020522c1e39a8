comment on table mart.daily_geography
is 'Sums of the orders that count, one row per day, country and region of delivery.';
comment on column mart.daily_geography.date_key
is 'Day on which the orders were placed.';
