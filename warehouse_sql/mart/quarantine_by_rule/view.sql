-- Grain: one row per table of the shop and rule: quarantined changes, as of the last measurement.
create or replace view mart.quarantine_by_rule as
select
    q.entity,
    q.rule,
    q.changes,
    q.keys,
    q.oldest_at,
    q.newest_at,
    l.measured_at
from etl.quarantine_by_rule as q
left join etl.lake_table as l on l.layer = 'silver' and l.table_name = 'quarantine';
