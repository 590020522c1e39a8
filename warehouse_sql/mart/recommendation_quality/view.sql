-- Grain: one row per training, kind of list and model.
create or replace view mart.recommendation_quality as
select
    q.trained_until_at,
    q.tested_from_at,
    q.kind,
    q.model,
    q.is_published,
    q.customers,
    q.recall_basis_points,
    q.ndcg_basis_points,
    q.coverage_basis_points,
    q.novelty_centibits,
    q.model_version,
    -- The training whose lists are in the mart; without any list, the one that read most.
    q.trained_until_at = coalesce(
        (select max(r.trained_until_at) from etl.recommendation as r),
        max(q.trained_until_at) over ()
    ) as is_latest
from etl.recommendation_quality as q;
