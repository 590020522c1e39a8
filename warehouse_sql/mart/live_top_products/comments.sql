comment on view mart.live_top_products
is 'One row per product, the ten with the highest net revenue of the last 60 minutes.';
comment on column mart.live_top_products.product_name
is 'Name of the product.';
