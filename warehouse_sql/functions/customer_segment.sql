-- Same scores and segments as gold's table customer_lifetime_value, whose contract has the limits.
create or replace function etl.recency_score(last_order_date date, as_of_date date)
returns integer
language sql
immutable
parallel safe
return 1
+ (last_order_date >= as_of_date - 365)::integer
+ (last_order_date >= as_of_date - 180)::integer
+ (last_order_date >= as_of_date - 90)::integer
+ (last_order_date >= as_of_date - 30)::integer;

create or replace function etl.frequency_score(orders bigint)
returns integer
language sql
immutable
parallel safe
return 1
+ (orders >= 2)::integer
+ (orders >= 3)::integer
+ (orders >= 5)::integer
+ (orders >= 10)::integer;

create or replace function etl.monetary_score(lifetime_value_cents bigint)
returns integer
language sql
immutable
parallel safe
return 1
+ (lifetime_value_cents >= 5000)::integer
+ (lifetime_value_cents >= 15000)::integer
+ (lifetime_value_cents >= 50000)::integer
+ (lifetime_value_cents >= 150000)::integer;

create or replace function etl.customer_segment(
    recency integer, frequency integer, monetary integer
)
returns text
language sql
immutable
parallel safe
return case
    when recency >= 4 and frequency >= 4 and monetary >= 4 then 'champion'
    when recency >= 3 and frequency >= 3 then 'loyal'
    when recency = 5 and frequency = 1 then 'new'
    when recency >= 4 then 'promising'
    when recency = 3 then 'needs_attention'
    when frequency >= 3 or monetary >= 4 then 'at_risk'
    else 'lost'
end;
