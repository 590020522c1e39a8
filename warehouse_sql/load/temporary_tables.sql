-- Tables of one load, gone with its transaction.

-- What a load has to compute again, by key. Grain of each: one row per key.
create temporary table affected_suppliers (supplier_id bigint primary key) on commit drop;
create temporary table affected_products (product_id bigint primary key) on commit drop;
create temporary table affected_customers (customer_id bigint primary key) on commit drop;
create temporary table affected_orders (order_id bigint primary key) on commit drop;
create temporary table affected_payments (payment_id bigint primary key) on commit drop;
create temporary table affected_interactions (interaction_id bigint primary key) on commit drop;

-- A product in a warehouse, from this day on.
create temporary table affected_stocks (
    product_id bigint, warehouse_code text, from_date date, primary key (product_id, warehouse_code)
) on commit drop;

-- Days on which a fact has changed: what is summed by day is summed again.
create temporary table affected_days (
    fact text, date_key date, primary key (fact, date_key)
) on commit drop;

-- Customers' months with an order that has changed.
create temporary table affected_customer_months (
    customer_id bigint, month_start_date date, primary key (customer_id, month_start_date)
) on commit drop;

-- Days of the rows of affected keys, before and after: facts are looked for in these only, so that
-- a load reads the months and days that it changes, however many others there are.
create temporary table fact_dates (
    fact text, date_key date, primary key (fact, date_key)
) on commit drop;

-- Versions whose facts have to look for theirs again, from this instant on.
create temporary table rekeyed_products (
    product_key bigint primary key, from_at timestamptz
) on commit drop;
create temporary table rekeyed_customers (
    customer_key bigint primary key, from_at timestamptz
) on commit drop;

-- Rows of facts as they are to be, before they replace what is there.
create temporary table order_chunk (order_id bigint primary key) on commit drop;
create temporary table new_transactions (like mart.fact_transactions) on commit drop;
create temporary table new_payments (like mart.fact_payments) on commit drop;
create temporary table new_interactions (like mart.fact_user_interactions) on commit drop;
create temporary table new_stocks (like mart.fact_stocks) on commit drop;
