comment on table mart.customer_months
is 'Sums of the orders that count, one row per customer and month in which they ordered.';
comment on column mart.customer_months.customer_id is 'The account.';
comment on column mart.customer_months.first_order_date is 'Day of their first order of the month.';
comment on column mart.customer_months.last_order_date is 'Day of their last order of the month.';
