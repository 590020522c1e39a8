comment on view mart.customer_lifetime_value
is 'One row per customer with an order that counts: lifetime value, and the segment by recency, '
'frequency and monetary value, as in gold.';
comment on column mart.customer_lifetime_value.customer_id is 'The account.';
comment on column mart.customer_lifetime_value.first_order_date
is 'Day of the first order that counts.';
comment on column mart.customer_lifetime_value.last_order_date
is 'Day of the last order that counts.';
comment on column mart.customer_lifetime_value.lifetime_value_cents
is 'total_cents - refund_cents, in cents of the base currency.';
comment on column mart.customer_lifetime_value.recency_score
is 'Score of the recency of the last order, at as_of_date: 1 to 5.';
comment on column mart.customer_lifetime_value.frequency_score
is 'Score of the number of orders: 1 to 5.';
comment on column mart.customer_lifetime_value.monetary_score
is 'Score of the lifetime value: 1 to 5.';
comment on column mart.customer_lifetime_value.segment
is 'Segment derived from the three scores.';
comment on column mart.customer_lifetime_value.as_of_date
is 'Last day of the month of the newest order in the shop.';
