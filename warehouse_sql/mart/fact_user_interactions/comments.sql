comment on table mart.fact_user_interactions
is 'One row per interaction of a visitor, partitioned by month.';
comment on column mart.fact_user_interactions.date_key
is 'Day of the interaction.';
comment on column mart.fact_user_interactions.customer_key
is 'The account as it was then; -2 if the visitor was not signed in.';
comment on column mart.fact_user_interactions.product_key
is 'The product as it was then; -2 without a product.';
