-- Grain: one row per supplier.
select
    s.supplier_id,
    s.lead_time_days
from public.suppliers as s
order by s.supplier_id;
