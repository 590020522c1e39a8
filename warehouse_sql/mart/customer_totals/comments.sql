comment on table mart.customer_totals
is 'Sums of the orders that count, one row per customer with such an order.';
comment on column mart.customer_totals.customer_id is 'The account.';
comment on column mart.customer_totals.first_order_date is 'Day of the first order that counts.';
comment on column mart.customer_totals.last_order_date is 'Day of the last order that counts.';
