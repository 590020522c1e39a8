comment on table mart.dim_suppliers
is 'One row per supplier that is not deleted. Member -1 is the unknown one.';
comment on column mart.dim_suppliers.supplier_key
is 'The supplier''s own id; -1 for the unknown one.';
