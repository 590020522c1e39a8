-- check: codes_are_known | severity: warn
-- Values that the contract does not list: their rows count as unknown. mart.unknown_values has the
-- values. Rows: such rows of the load, and in which columns.
select
    'suppliers' as entity,
    c.supplier_id as key,
    'country' as columns
from changed_suppliers as c
where not c._is_deleted and c.country = 'unknown'
union all
select
    'products' as entity,
    c.product_id as key,
    'category' as columns
from changed_products as c
where not c._is_deleted and c.category = 'unknown'
union all
select
    'customers' as entity,
    c.customer_id as key,
    'country' as columns
from changed_customers as c
where not c._is_deleted and c.country = 'unknown'
union all
select
    'orders' as entity,
    c.order_id as key,
    concat_ws(
        ', ',
        case when c.channel = 'unknown' then 'channel' end,
        case when c.currency = 'unknown' then 'currency' end,
        case when c.ship_country = 'unknown' then 'ship_country' end
    ) as columns
from changed_orders as c
where not c._is_deleted and 'unknown' in (c.channel, c.currency, c.ship_country)
union all
select
    'payments' as entity,
    c.payment_id as key,
    concat_ws(
        ', ',
        case when c.method = 'unknown' then 'method' end,
        case when c.currency = 'unknown' then 'currency' end
    ) as columns
from changed_payments as c
where not c._is_deleted and 'unknown' in (c.method, c.currency)
union all
select
    'stock_movements' as entity,
    c.movement_id as key,
    'kind' as columns
from changed_stock_movements as c
where not c._is_deleted and c.kind = 'unknown'
union all
select
    'interactions' as entity,
    c.interaction_id as key,
    concat_ws(
        ', ',
        case when c.interaction_type = 'unknown' then 'interaction_type' end,
        case when c.device = 'unknown' then 'device' end
    ) as columns
from changed_interactions as c
where not c._is_deleted and 'unknown' in (c.interaction_type, c.device);
