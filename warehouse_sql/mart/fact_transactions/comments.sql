comment on table mart.fact_transactions
is 'One row per order line, partitioned by month of the order. Amounts count only where counts is '
'true. While its order is missing, a line has the unknown day, customer and product, and no '
'amounts. Amounts of an order that belong to missing lines are in no row; reconcile reports them.';
comment on column mart.fact_transactions.date_key
is 'Day on which the order was placed.';
comment on column mart.fact_transactions.product_key
is 'The product as it was when the order was placed.';
comment on column mart.fact_transactions.customer_key
is 'The customer as they were when the order was placed; -2 once the account is deleted.';
comment on column mart.fact_transactions.counts
is 'Whether the order counts: it was not cancelled before it was paid.';
comment on column mart.fact_transactions.units
is 'Units sold: the line''s quantity.';
