-- A change in the first month of a customer, or before it, may move all their months to another
-- cohort: these are affected, too.
insert into affected_customer_months (customer_id, month_start_date)
select
    m.customer_id,
    m.month_start_date
from (
    select
        t.customer_id,
        min(t.month_start_date) as month_start_date
    from affected_customer_months as t
    group by t.customer_id
) as t
inner join mart.customer_totals as c
    on t.customer_id = c.customer_id and t.month_start_date <= c.first_order_date
inner join mart.customer_months as m on c.customer_id = m.customer_id
on conflict do nothing;
