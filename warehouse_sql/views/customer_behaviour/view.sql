-- Grain: one row per period (day, week, month) and device.
drop materialized view if exists mart.customer_behaviour;
create materialized view mart.customer_behaviour as
select
    p.period,
    d.device,
    date_trunc(p.period, d.date_key::timestamp)::date as period_start_date,
    sum(d.sessions)::bigint as sessions,
    sum(d.cart_sessions)::bigint as cart_sessions,
    sum(d.checkout_sessions)::bigint as checkout_sessions,
    sum(d.purchase_sessions)::bigint as purchase_sessions,
    sum(d.interactions)::bigint as interactions,
    sum(d.purchase_sessions)::double precision / nullif(sum(d.sessions), 0) as conversion
from mart.daily_behaviour as d
cross join (values ('day'), ('week'), ('month')) as p (period)
group by p.period, period_start_date, d.device;

create unique index customer_behaviour_key
on mart.customer_behaviour (period, period_start_date, device);
