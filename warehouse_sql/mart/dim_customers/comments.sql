comment on table mart.dim_customers
is 'One row per version of an account, by what this table says of it; without names, addresses'
' and numbers. Member -1 is the unknown one, -2 is none.';
comment on column mart.dim_customers.customer_key
is 'Names the version by the change that began it: epoch, partition and offset in one number.';
comment on column mart.dim_customers.birth_year
is 'Year of birth.';
comment on column mart.dim_customers.latitude
is 'Where the address is, to about a kilometre. In degrees north.';
comment on column mart.dim_customers.longitude
is 'Where the address is, to about a kilometre. In degrees east.';
comment on column mart.dim_customers.customer_since_at
is 'When the account was made.';
comment on column mart.dim_customers.valid_from_at
is 'From when the version holds, inclusive; of the first one from -infinity.';
comment on column mart.dim_customers.is_current
is 'Whether it holds now.';
