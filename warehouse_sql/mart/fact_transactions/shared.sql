-- Grain: one row per order that counts, of affected days. Sums that do not tell lines apart are
-- made of it: its lines have the order's values in common, and need not be sorted to count orders.
create temporary table order_sums on commit drop as
select
    f.order_id,
    f.date_key,
    min(f.placed_at) as placed_at,
    min(f.channel) as channel,
    min(f.ship_country) as ship_country,
    min(f.ship_region) as ship_region,
    min(f.ship_region_code) as ship_region_code,
    sum(f.units)::bigint as units,
    sum(f.net_revenue_cents)::bigint as net_revenue_cents,
    sum(f.discount_cents)::bigint as discount_cents,
    sum(f.total_cents)::bigint as total_cents,
    sum(f.refund_cents)::bigint as refund_cents,
    sum(f.margin_cents)::bigint as margin_cents
from affected_days as t
inner join mart.fact_transactions as f on t.date_key = f.date_key
where t.fact = 'fact_transactions' and f.counts
group by f.order_id, f.date_key;

analyze order_sums;
