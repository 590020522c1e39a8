-- Deletes obsolete versions, once no fact refers to them.
delete from mart.dim_products as d
using affected_products as t
where
    d.product_id = t.product_id
    and not exists (
        select from new_products as n
        where n.product_key = d.product_key
    );
