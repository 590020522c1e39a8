comment on table mart.stock_levels
is 'One row per product and warehouse with movements: what the last day closed with.';
comment on column mart.stock_levels.on_hand_units
is 'Units there after the last movement.';
comment on column mart.stock_levels.last_date
is 'Day of the last movement.';
