-- Grain: one row per day, table of the shop and rule: net revenue that is in no other table of the
-- mart, because its rows are in quarantine and nowhere else.
create or replace view mart.left_out as
select
    t.date_key,
    t.entity,
    t.rule,
    t.row_count,
    t.left_out_cents
from etl.left_out as t;
