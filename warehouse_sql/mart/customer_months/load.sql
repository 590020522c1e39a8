-- Grain: one row per customer and month in which they ordered, of affected ones.
-- Month by month, so that each statement reads one partition of the facts.
do $$
declare
    this_month date;
begin
    for this_month in
        select distinct t.month_start_date from affected_customer_months as t
    loop
        insert into new_customer_months (
            customer_id, month_start_date, first_order_date, last_order_date, orders, units,
            net_revenue_cents, total_cents, refund_cents
        )
        with version as (
            -- Facts refer to a version of the customer, or to member -1 while it is unknown.
            select
                t.customer_id,
                d.customer_key
            from affected_customer_months as t
            inner join mart.dim_customers as d on t.customer_id = d.customer_id
            where t.month_start_date = this_month
            union all
            select
                t.customer_id,
                -1 as customer_key
            from affected_customer_months as t
            where t.month_start_date = this_month
        )

        select
            v.customer_id,
            this_month as month_start_date,
            min(f.date_key) as first_order_date,
            max(f.date_key) as last_order_date,
            count(distinct f.order_id) as orders,
            sum(f.units) as units,
            sum(f.net_revenue_cents) as net_revenue_cents,
            sum(f.total_cents) as total_cents,
            sum(f.refund_cents) as refund_cents
        from version as v
        inner join mart.fact_transactions as f
            on v.customer_key = f.customer_key and v.customer_id = f.customer_id
        where
            f.counts
            and f.date_key >= this_month
            and f.date_key < (this_month + interval '1 month')::date
        group by v.customer_id;
    end loop;
end
$$;
