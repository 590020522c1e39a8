comment on table mart.stock_levels
is 'One row per product and warehouse with movements: the closing stock of the last day.';
comment on column mart.stock_levels.on_hand_units
is 'Units in stock after the last movement.';
comment on column mart.stock_levels.last_date
is 'Day of the last movement.';
