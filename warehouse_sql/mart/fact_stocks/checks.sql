-- check: stocks_carry_over | severity: fail
-- The opening stock of a day is the closing stock of the day before, and its closing stock follows
-- from its movements. Rows: days of the load's products and warehouses for which this is wrong.
with stock as (
    select
        f.product_id,
        f.warehouse_code,
        f.date_key,
        f.opening_units,
        f.closing_units,
        f.opening_units + f.received_units - f.sold_units + f.returned_units + f.adjusted_units
            as left_units,
        coalesce(
            lag(f.closing_units) over (
                partition by f.product_id, f.warehouse_code
                order by f.date_key
            ),
            0
        ) as last_closing_units
    from affected_stocks as t
    inner join mart.fact_stocks as f
        on t.product_id = f.product_id and t.warehouse_code = f.warehouse_code
)

select
    s.product_id,
    s.warehouse_code,
    s.date_key,
    s.opening_units,
    s.last_closing_units,
    s.closing_units,
    s.left_units
from stock as s
where s.opening_units <> s.last_closing_units or s.closing_units <> s.left_units;
