-- Grain: one row per forecast day, as of the last forecast.
create or replace view mart.revenue_forecast as
select
    f.forecast_date,
    f.net_revenue_cents,
    f.low_80_cents,
    f.high_80_cents,
    f.low_95_cents,
    f.high_95_cents,
    f.method,
    f.trained_until_date,
    f.made_at
from etl.revenue_forecast as f;
