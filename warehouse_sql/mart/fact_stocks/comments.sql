comment on table mart.fact_stocks
is 'One row per product, warehouse and day with movements: opening + received - sold + '
'returned + adjusted = closing, which is the opening of the next such day.';
comment on column mart.fact_stocks.date_key
is 'The day.';
comment on column mart.fact_stocks.product_key
is 'The product as it was at the day''s last movement.';
comment on column mart.fact_stocks.last_movement_at
is 'Time of the day''s last movement.';
comment on column mart.fact_stocks.opening_units
is 'Units in stock at the start of the day.';
comment on column mart.fact_stocks.received_units
is 'Units received.';
comment on column mart.fact_stocks.sold_units
is 'Units sold.';
comment on column mart.fact_stocks.returned_units
is 'Units returned.';
comment on column mart.fact_stocks.adjusted_units
is 'Units found (positive) or missing in a count, or moved for an unknown reason.';
comment on column mart.fact_stocks.closing_units
is 'Units in stock at the end of the day.';
