-- Grain: one row per customer, kind of list and rank, as of the last training; without accounts
-- that were deleted since.
create or replace view mart.recommendations as
select
    r.customer_id,
    r.kind,
    r.rank,
    r.product_id,
    p.category,
    r.score_millionths,
    r.model_version,
    r.trained_until_at,
    p.name || ' · ' || coalesce(p.sku, p.product_id::text) as product
from etl.recommendation as r
inner join entity.customers as c on r.customer_id = c.customer_id
inner join entity.products as p on r.product_id = p.product_id;
