comment on table mart.fact_user_interactions
is 'One row per thing that a visitor does, by month of its day.';
comment on column mart.fact_user_interactions.date_key
is 'Day on which they did it.';
comment on column mart.fact_user_interactions.customer_key
is 'The account as it was then; -2 if they had not signed in.';
comment on column mart.fact_user_interactions.product_key
is 'The product as it was then; -2 if it is about none.';
