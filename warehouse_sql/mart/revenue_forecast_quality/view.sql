-- Grain: one row per last day that was known, and method.
create or replace view mart.revenue_forecast_quality as
select
    q.trained_until_date,
    q.method,
    q.is_published,
    q.tested_days,
    q.error_cents,
    q.revenue_cents,
    q.within_80_days,
    q.within_95_days,
    q.made_at,
    round(q.error_cents * 10000.0 / nullif(q.revenue_cents, 0))::bigint as error_basis_points,
    q.trained_until_date = max(q.trained_until_date) over () as is_latest
from etl.revenue_forecast_quality as q;
