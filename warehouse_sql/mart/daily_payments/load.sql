-- Grain: one row per day, kind, method and status of payments, of affected days.
insert into mart.daily_payments (date_key, kind, method, status, payments, base_amount_cents)
select
    f.date_key,
    f.kind,
    f.method,
    f.status,
    count(*) as payments,
    coalesce(sum(f.base_amount_cents), 0) as base_amount_cents
from affected_days as t
inner join mart.fact_payments as f on t.date_key = f.date_key
where t.fact = 'fact_payments'
group by f.date_key, f.kind, f.method, f.status;
