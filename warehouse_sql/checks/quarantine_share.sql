-- check: quarantine_share | severity: fail
-- way out: See ./pipeline quarantine list. To publish all the same, raise the limit for one run:
-- way out: CONSOLIDATION_QUARANTINE_MAX_SHARE=1 ./pipeline consolidate.
-- Of the changes that silver has judged since the last published load, not too many were put aside.
-- Rows: one, with the share and what is allowed.
select
    s.value as quarantine_share,
    m.value as max_quarantine_share,
    c.value as changes
from run_input as s
cross join run_input as m
cross join run_input as c
cross join run_input as n
where
    s.name = 'quarantine_share'
    and m.name = 'max_quarantine_share'
    and c.name = 'changes_seen'
    and n.name = 'min_quarantine_changes'
    and s.value > m.value
    and c.value >= n.value;
