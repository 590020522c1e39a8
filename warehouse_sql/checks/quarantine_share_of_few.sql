-- check: quarantine_share_of_few | severity: warn
-- As quarantine_share, where there are so few changes that one alone is a large share of them.
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
    and c.value < n.value;
