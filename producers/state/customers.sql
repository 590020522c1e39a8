-- Grain: one row per account, the newest ones; country and city without injected faults. Duplicate
-- accounts of the same person are skipped, since they are not used.
select
    c.customer_id,
    coalesce(country.clean_value, c.country) as country,
    coalesce(city.clean_value, c.city) as city
from (
    select
        n.customer_id,
        n.country,
        n.city
    from public.customers as n
    order by n.customer_id desc
    limit 20000
) as c
left join ledger.dirt as country
    on
        c.customer_id = country.row_key and c.country = country.dirty_value
        and country.table_name = 'customers' and country.column_name = 'country'
left join ledger.dirt as city
    on
        c.customer_id = city.row_key and c.city = city.dirty_value
        and city.table_name = 'customers' and city.column_name = 'city'
left join ledger.dirt as twin
    on
        c.customer_id = twin.row_key
        and twin.table_name = 'customers' and twin.column_name = 'customer_id'
where twin.row_key is null
order by c.customer_id;
