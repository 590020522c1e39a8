comment on materialized view mart.product_performance
is 'One row per month and product, with its current name, category and brand; sales of the '
'orders that count.';
comment on column mart.product_performance.name
is 'Current name.';
comment on column mart.product_performance.category
is 'Current category.';
comment on column mart.product_performance.brand
is 'Current brand.';
comment on column mart.product_performance.orders_per_view
is 'Orders with the product / views of it; empty without views.';
