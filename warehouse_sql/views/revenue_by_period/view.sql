-- Grain: one row per period (week, month), country of delivery, channel and category. Days are in
-- daily_sales; copying them here would dominate the cost of a refresh.
drop materialized view if exists mart.revenue_by_period;
create materialized view mart.revenue_by_period as
select
    p.period,
    d.ship_country,
    d.channel,
    d.category,
    date_trunc(p.period, d.date_key::timestamp)::date as period_start_date,
    sum(d.orders)::bigint as orders,
    sum(d.units)::bigint as units,
    sum(d.gross_revenue_cents)::bigint as gross_revenue_cents,
    sum(d.discount_cents)::bigint as discount_cents,
    sum(d.net_revenue_cents)::bigint as net_revenue_cents,
    sum(d.shipping_cents)::bigint as shipping_cents,
    sum(d.tax_cents)::bigint as tax_cents,
    sum(d.total_cents)::bigint as total_cents,
    sum(d.refund_cents)::bigint as refund_cents,
    sum(d.cost_cents)::bigint as cost_cents,
    sum(d.margin_cents)::bigint as margin_cents
from mart.daily_sales as d
cross join (values ('week'), ('month')) as p (period)
group by p.period, period_start_date, d.ship_country, d.channel, d.category;

create unique index revenue_by_period_key
on mart.revenue_by_period (period, period_start_date, ship_country, channel, category);
