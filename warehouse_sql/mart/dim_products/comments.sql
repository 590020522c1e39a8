comment on table mart.dim_products
is 'One row per version of a product, by the columns of this table. Member -1 is the unknown '
'one, -2 is none.';
comment on column mart.dim_products.product_key
is 'Key of the version: epoch, partition and offset of the change that started it.';
comment on column mart.dim_products.supplier_key
is 'Current supplier; -1 while it is not known.';
comment on column mart.dim_products.valid_from_at
is 'Start of the validity, inclusive; the first version is valid from -infinity.';
comment on column mart.dim_products.is_current
is 'Whether the version is valid now.';
