-- Deletes obsolete versions, once no fact refers to them.
delete from mart.dim_customers as d
using affected_customers as t
where
    d.customer_id = t.customer_id
    and not exists (
        select from new_customers as n
        where n.customer_key = d.customer_key
    );
