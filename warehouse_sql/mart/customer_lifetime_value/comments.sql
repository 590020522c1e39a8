comment on view mart.customer_lifetime_value
is 'One row per customer with an order that counts: what they have brought, and their segment by '
'recency, frequency and monetary value, as gold has it.';
comment on column mart.customer_lifetime_value.customer_id is 'The account.';
comment on column mart.customer_lifetime_value.first_order_date
is 'Day of the first order that counts.';
comment on column mart.customer_lifetime_value.last_order_date
is 'Day of the last order that counts.';
comment on column mart.customer_lifetime_value.lifetime_value_cents
is 'total_cents - refund_cents: what stayed. In cents of the base currency.';
comment on column mart.customer_lifetime_value.recency_score
is 'How recent the last order is, at as_of_date: 1 to 5.';
comment on column mart.customer_lifetime_value.frequency_score
is 'How many orders there are: 1 to 5.';
comment on column mart.customer_lifetime_value.monetary_score
is 'How much the lifetime value is: 1 to 5.';
comment on column mart.customer_lifetime_value.segment
is 'What the scores say together.';
comment on column mart.customer_lifetime_value.as_of_date
is 'Last day of the month of the newest order in the shop.';
