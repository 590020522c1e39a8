-- Days of the facts of affected keys after the entities were updated.
insert into fact_dates (fact, date_key)
select distinct
    'fact_transactions' as fact,
    e.placed_date as date_key
from affected_orders as t
inner join entity.orders as e on t.order_id = e.order_id
union
select distinct
    'fact_payments' as fact,
    e.created_date as date_key
from affected_payments as t
inner join entity.payments as e on t.payment_id = e.payment_id
union
select distinct
    'fact_user_interactions' as fact,
    e.occurred_date as date_key
from affected_interactions as t
inner join entity.interactions as e on t.interaction_id = e.interaction_id
on conflict do nothing;

-- Stored in settings, which etl.affected_dates() reads when a statement is planned.
select
    set_config(
        'etl.affected_dates_' || f.fact,
        coalesce(array_agg(p.date_key) filter (where p.date_key is not null), '{}')::text,
        true
    ) as days
from (
    values ('fact_transactions'), ('fact_payments'), ('fact_user_interactions')
) as f (fact)
left join fact_dates as p on f.fact = p.fact
group by f.fact;
