-- Grain: one row per product and warehouse that sold in the last 28 days and was out of stock on
-- some of them: what it would have sold then, as much per day as on its other days. A day on which
-- the stock moved is not an empty one.
create or replace view mart.lost_sales as
with clock as (
    select (now() at time zone s.time_zone)::date - 1 as day
    from etl.shop as s
),

moved as (
    select
        f.product_id,
        f.warehouse_code,
        f.date_key,
        f.sold_units,
        -- Before the first movement the stock was what that day opened with.
        case
            when
                f.opening_units <= 0
                and lag(f.date_key) over one_stock is null
                then f.date_key - (c.day - 27)
            else 0
        end as empty_before,
        case
            when f.closing_units <= 0
                then coalesce(lead(f.date_key) over one_stock, c.day + 1) - f.date_key - 1
            else 0
        end as empty_after
    from clock as c
    inner join mart.fact_stocks as f on f.date_key > c.day - 28 and c.day >= f.date_key
    window one_stock as (partition by f.product_id, f.warehouse_code order by f.date_key)
),

sold as (
    select
        m.product_id,
        m.warehouse_code,
        min(m.date_key) as first_date,
        sum(m.sold_units) as sold_units,
        sum(m.empty_before) as empty_before,
        sum(m.empty_after) as empty_after
    from moved as m
    group by m.product_id, m.warehouse_code
),

-- A stock that began in these days was not empty before: it did not exist.
older as (
    select
        s.product_id,
        s.warehouse_code
    from sold as s
    where exists (
        select
        from mart.fact_stocks as b
        where
            b.product_id = s.product_id
            and b.warehouse_code = s.warehouse_code
            and b.date_key < s.first_date
    )
),

stock as (
    select
        s.product_id,
        s.warehouse_code,
        s.sold_units,
        s.empty_after
        + case when o.product_id is null then 0 else s.empty_before end as empty_days,
        case when o.product_id is null then c.day - s.first_date + 1 else 28 end as days
    from clock as c
    cross join sold as s
    left join older as o
        on s.product_id = o.product_id and s.warehouse_code = o.warehouse_code
)

select
    s.product_id,
    s.warehouse_code,
    s.empty_days,
    coalesce(p.product, 'unknown · ' || s.product_id) as product,
    coalesce(p.category, 'unknown') as category,
    s.sold_units::numeric / (s.days - s.empty_days) * s.empty_days as lost_units,
    s.sold_units::numeric / (s.days - s.empty_days) * s.empty_days * p.price_cents as lost_cents
from stock as s
left join mart.current_products as p on s.product_id = p.product_id
where s.empty_days > 0 and s.empty_days < s.days and s.sold_units > 0;
