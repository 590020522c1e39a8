-- Grain: at most one row, the version valid at that instant. An index lookup, so that the cost does
-- not depend on the number of versions.
create or replace function etl.product_at(product_id bigint, happened_at timestamptz)
returns setof mart.dim_products
language sql
stable
as $$
select v.*
from (
    select d.*
    from mart.dim_products as d
    where d.product_id = product_at.product_id and d.valid_from_at <= product_at.happened_at
    order by d.valid_from_at desc
    limit 1
) as v
where v.valid_to_at is null or v.valid_to_at > product_at.happened_at
$$;

create or replace function etl.customer_at(customer_id bigint, happened_at timestamptz)
returns setof mart.dim_customers
language sql
stable
as $$
select v.*
from (
    select d.*
    from mart.dim_customers as d
    where d.customer_id = customer_at.customer_id and d.valid_from_at <= customer_at.happened_at
    order by d.valid_from_at desc
    limit 1
) as v
where v.valid_to_at is null or v.valid_to_at > customer_at.happened_at
$$;
