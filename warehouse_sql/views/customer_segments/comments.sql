comment on materialized view mart.customer_segments
is 'Customers with an order that counts, one row per segment and country of their current address.';
comment on column mart.customer_segments.segment
is 'Segment by recency, frequency and monetary value, as in gold.';
comment on column mart.customer_segments.country
is 'Country of their current address, ISO 3166-1 alpha-2, or unknown.';
comment on column mart.customer_segments.as_of_date
is 'Last day of the month of the newest order in the shop, from which recency is counted back.';
comment on column mart.customer_segments.customers is 'Number of customers.';
comment on column mart.customer_segments.repeat_customers
is 'Customers with more than one order.';
comment on column mart.customer_segments.lifetime_value_cents
is 'Sum of total_cents - refund_cents, in cents of the base currency.';
