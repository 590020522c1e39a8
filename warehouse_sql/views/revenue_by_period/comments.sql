comment on materialized view mart.revenue_by_period
is 'Sums of the orders that count, one row per period, country of delivery, channel and '
'category. Orders add up over periods, not over categories.';
