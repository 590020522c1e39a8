comment on table mart.dim_products
is 'One row per version of a product, by what this table says of it. Member -1 is the unknown '
'one, -2 is none.';
comment on column mart.dim_products.product_key
is 'Names the version by the change that began it: epoch, partition and offset in one number.';
comment on column mart.dim_products.supplier_key
is 'Its supplier, as known now; -1 while that is not known.';
comment on column mart.dim_products.valid_from_at
is 'From when the version holds, inclusive; of the first one from -infinity.';
comment on column mart.dim_products.is_current
is 'Whether it holds now.';
