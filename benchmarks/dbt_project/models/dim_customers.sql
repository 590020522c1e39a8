{{ config(
    unique_key='customer_key',
    indexes=[
        {'columns': ['customer_key'], 'unique': true},
        {'columns': ['customer_id', 'valid_from_at']},
        {'columns': ['_number']},
    ],
) }}
-- Grain: one row per version of a customer, of the customers with new changes.
select
    c._partition::bigint << 40 | c._offset as customer_key,
    c.customer_id,
    c.city,
    c.region,
    c.country,
    c.accepts_marketing,
    c.created_at as customer_since_at,
    case when row_number() over one_key = 1 then '-infinity' else c.updated_at end as valid_from_at,
    lead(c.updated_at) over one_key as valid_to_at,
    c._number
from {{ source('dbt_raw', 'customers') }} as c
where c.customer_id in (select n.customer_id from ({{ new_changes('customers') }}) as n)
window one_key as (partition by c.customer_id order by c._number)
