-- Updates the suppliers of products, then deletes suppliers that no longer exist.
update mart.dim_products as p
set supplier_key = coalesce(e.supplier_id, '-1')
from affected_suppliers as t
left join entity.suppliers as e on t.supplier_id = e.supplier_id
where p.supplier_id = t.supplier_id and p.supplier_key <> coalesce(e.supplier_id, '-1');

delete from mart.dim_suppliers as d
using affected_suppliers as t
where
    d.supplier_key = t.supplier_id
    and not exists (
        select from entity.suppliers as e
        where e.supplier_id = d.supplier_key
    );
