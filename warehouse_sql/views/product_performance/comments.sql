comment on materialized view mart.product_performance
is 'One row per month and product, with its present name, category and brand; sales of the '
'orders that count.';
comment on column mart.product_performance.name
is 'What it is called now.';
comment on column mart.product_performance.category
is 'Its category now.';
comment on column mart.product_performance.brand
is 'Its brand now.';
comment on column mart.product_performance.orders_per_view
is 'Orders with the product for each time it was looked at; empty if it was not.';
