comment on materialized view mart.geography
is 'Sums of the orders that count, one row per month, country and region of delivery.';
