comment on table mart.fact_payments
is 'One row per attempt of a payment or refund, partitioned by month. Customer, country and amount '
'in the base currency come from the order.';
comment on column mart.fact_payments.date_key
is 'Day of the attempt.';
comment on column mart.fact_payments.customer_key
is 'The customer as they were at the attempt; -2 once the account is deleted.';
comment on column mart.fact_payments.created_at
is 'When the attempt was made.';
comment on column mart.fact_payments.base_amount_cents
is 'The amount at the order''s exchange rate, rounded half up, in cents of the base currency; null '
'while the order is missing, and where it exceeds ten million.';
