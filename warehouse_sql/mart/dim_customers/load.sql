-- Grain: one row per row of the history of a customer in affected_customers.
create temporary table version_customers on commit drop as
select
    h.customer_id,
    h._epoch,
    h._partition,
    h._offset,
    h.person_key,
    extract(year from h.birth_date)::integer as birth_year,
    h.city,
    h.region,
    h.region_code,
    h.country,
    round(h.latitude::numeric, 2)::double precision as latitude,
    round(h.longitude::numeric, 2)::double precision as longitude,
    h.accepts_marketing,
    h.created_at as customer_since_at,
    h.valid_from_at,
    h.valid_to_at
from entity.customers_history as h
inner join affected_customers as t on h.customer_id = t.customer_id;
