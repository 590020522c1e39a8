-- Grain: one row per supplier that is not deleted. Its key is the supplier's id.
insert into mart.dim_suppliers (supplier_key, name, country, city, lead_time_days)
select
    e.supplier_id,
    e.name,
    e.country,
    e.city,
    e.lead_time_days
from entity.suppliers as e
inner join affected_suppliers as t on e.supplier_id = t.supplier_id
on conflict (supplier_key) do update
    set
        name = excluded.name,
        country = excluded.country,
        city = excluded.city,
        lead_time_days = excluded.lead_time_days;
