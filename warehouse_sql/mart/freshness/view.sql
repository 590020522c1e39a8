-- Grain: one row. When the mart was last published.
create or replace view mart.freshness as
select max(r.finished_at) as published_at
from etl.run as r
where r.outcome = 'published';
