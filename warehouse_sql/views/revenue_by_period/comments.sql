comment on materialized view mart.revenue_by_period
is 'Sums of the orders that count, one row per period (week, month), country of delivery, '
'channel and category; days are in daily_sales. Numbers of orders are additive over periods, not '
'over categories.';
