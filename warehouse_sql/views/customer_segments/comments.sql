comment on materialized view mart.customer_segments
is 'Customers with an order that counts, one row per segment and country of their present address.';
comment on column mart.customer_segments.segment
is 'By recency, frequency and monetary value, as gold has it.';
comment on column mart.customer_segments.country
is 'Country of their present address, ISO 3166-1 alpha-2, or unknown.';
comment on column mart.customer_segments.as_of_date
is 'Last day of the month of the newest order in the shop, from which recency is counted back.';
comment on column mart.customer_segments.customers is 'How many customers.';
comment on column mart.customer_segments.repeat_customers
is 'Of these, with more than one order.';
comment on column mart.customer_segments.lifetime_value_cents
is 'What they have brought: total_cents - refund_cents. In cents of the base currency.';
