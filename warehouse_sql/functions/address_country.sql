-- The country of a customer's latest address; unknown without one. A version that is obsolete, and
-- deleted at the end of the load, begins at infinity.
create or replace function etl.address_country(customer_id bigint)
returns text
language sql
stable
as $$
select coalesce(
    (
        select d.country
        from mart.dim_customers as d
        where d.customer_id = address_country.customer_id and d.valid_from_at < 'infinity'
        order by d.valid_from_at desc
        limit 1
    ),
    'unknown'
)
$$;
