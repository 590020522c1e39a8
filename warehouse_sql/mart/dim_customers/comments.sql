comment on table mart.dim_customers
is 'One row per version of an account, by the columns of this table; without names, addresses'
' and numbers. Member -1 is the unknown one, -2 is none.';
comment on column mart.dim_customers.customer_key
is 'Key of the version: epoch, partition and offset of the change that started it.';
comment on column mart.dim_customers.birth_year
is 'Year of birth.';
comment on column mart.dim_customers.latitude
is 'Latitude of the address, rounded to about a kilometre, in degrees north.';
comment on column mart.dim_customers.longitude
is 'Longitude of the address, rounded to about a kilometre, in degrees east.';
comment on column mart.dim_customers.customer_since_at
is 'When the account was created.';
comment on column mart.dim_customers.valid_from_at
is 'Start of the validity, inclusive; the first version is valid from -infinity.';
comment on column mart.dim_customers.is_current
is 'Whether the version is valid now.';
