create table mart.daily_payments (
    date_key date not null references mart.dim_dates (date_key),
    kind text not null,
    method text not null,
    status text not null,
    payments bigint not null,
    base_amount_cents bigint not null,
    primary key (date_key, kind, method, status)
);

-- In a warehouse that has facts already.
insert into mart.daily_payments (date_key, kind, method, status, payments, base_amount_cents)
select
    f.date_key,
    f.kind,
    f.method,
    f.status,
    count(*) as payments,
    coalesce(sum(f.base_amount_cents), 0) as base_amount_cents
from mart.fact_payments as f
group by f.date_key, f.kind, f.method, f.status;
