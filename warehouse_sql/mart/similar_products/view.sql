-- Grain: one row per product and rank, as of the last training.
create or replace view mart.similar_products as
select
    s.product_id,
    s.rank,
    s.similar_product_id,
    s.orders_together,
    s.score_millionths,
    s.model_version,
    s.trained_until_at,
    p.name || ' · ' || coalesce(p.sku, p.product_id::text) as product,
    q.name || ' · ' || coalesce(q.sku, q.product_id::text) as similar_product
from etl.similar_product as s
inner join entity.products as p on s.product_id = p.product_id
inner join entity.products as q on s.similar_product_id = q.product_id;
