-- Grain: one row. When the mart was last published, and up to when it follows the shop: the start
-- of the last run that ended well, brought silver up to date and then published a load. All that
-- had landed by then is in the mart, and some of what landed later.
create or replace view mart.freshness as
select
    max(d.finished_at) as published_at,
    (
        select max(r.started_at)
        from etl.runs as r
        where
            r.kind = 'consolidation'
            and r.outcome = 'succeeded'
            and (
                r.is_stepwise
                or (
                    r.scope @> '{"layers": ["silver", "warehouse"]}'
                    -- Of all tables: an empty list is contained in any.
                    and r.scope -> 'entities' = '[]'
                )
            )
            and exists (
                select
                from etl.load as l
                where
                    l.outcome = 'published'
                    and l.started_at >= r.started_at
                    and l.finished_at <= r.finished_at
            )
    ) as as_of_at
from etl.load as d
where d.outcome = 'published';
