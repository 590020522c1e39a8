-- check: quarantine_share_of_few | severity: warn
-- As quarantine_share, for so few changes that a single one is a large share of them.
-- Rows: one, with the share and the limit.
select
    r.quarantine_share,
    r.max_quarantine_share,
    r.changes_seen as changes
from run_input as r
where r.quarantine_share > r.max_quarantine_share and r.changes_seen < r.min_quarantine_changes;
