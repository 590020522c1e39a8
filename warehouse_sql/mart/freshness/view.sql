-- Grain: one row. When the mart was last published.
create or replace view mart.freshness as
select max(d.finished_at) as published_at
from etl.load as d
where d.outcome = 'published';
