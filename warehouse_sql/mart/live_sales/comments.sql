comment on view mart.live_sales
is 'One row per order line of the shop, as of now: the warehouse and newer changes. Amounts count '
'only where counts is true.';
comment on column mart.live_sales.date_key
is 'Day on which the order was placed.';
comment on column mart.live_sales.counts
is 'Whether the order counts: it was not cancelled before it was paid.';
comment on column mart.live_sales.units
is 'Units sold: the line''s quantity.';
comment on column mart.live_sales.product_name
is 'Name of the product when the order was placed.';
comment on column mart.live_sales.category
is 'Category of the product when the order was placed.';
comment on column mart.live_sales.brand
is 'Brand of the product when the order was placed.';
