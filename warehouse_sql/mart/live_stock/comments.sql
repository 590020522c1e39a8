comment on view mart.live_stock
is 'One row per product and warehouse: current stock, and how long it lasts.';
comment on column mart.live_stock.product_name
is 'Current name of the product.';
comment on column mart.live_stock.on_hand_units
is 'Units in stock, by all movements until now.';
comment on column mart.live_stock.units_per_day
is 'Units sold per day, over the days of the contract''s window.';
comment on column mart.live_stock.days_of_cover
is 'Whole days that the stock lasts; empty if nothing was sold.';
comment on column mart.live_stock.risk
is 'Risk of running out of stock.';
