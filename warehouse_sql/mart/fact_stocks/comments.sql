comment on table mart.fact_stocks
is 'One row per product, warehouse and day with movements: opening + received - sold + '
'returned + adjusted = closing, which the next such day opens with.';
comment on column mart.fact_stocks.date_key
is 'The day.';
comment on column mart.fact_stocks.product_key
is 'The product as it was at the day''s last movement.';
comment on column mart.fact_stocks.last_movement_at
is 'When the day''s last movement was.';
comment on column mart.fact_stocks.opening_units
is 'Units there when the day began.';
comment on column mart.fact_stocks.received_units
is 'Units received.';
comment on column mart.fact_stocks.sold_units
is 'Units that left for orders.';
comment on column mart.fact_stocks.returned_units
is 'Units that came back.';
comment on column mart.fact_stocks.adjusted_units
is 'Units found (positive) or missed in counting, or moved for a reason that is unknown.';
comment on column mart.fact_stocks.closing_units
is 'Units there when the day ended.';
