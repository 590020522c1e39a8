-- check: quarantine_share | severity: fail
-- Not too many changes were put aside. Rows: one, with the share and what is allowed.
select
    s.value as quarantine_share,
    m.value as max_quarantine_share
from run_input as s
cross join run_input as m
where
    s.name = 'quarantine_share'
    and m.name = 'max_quarantine_share'
    and s.value > m.value;
