-- Temporary tables of one load, dropped at the end of its transaction.

-- Keys that a load has to recompute. Grain of each: one row per key.
create temporary table affected_suppliers (supplier_id bigint primary key) on commit drop;
create temporary table affected_products (product_id bigint primary key) on commit drop;
create temporary table affected_customers (customer_id bigint primary key) on commit drop;
create temporary table affected_orders (order_id bigint primary key) on commit drop;
create temporary table affected_payments (payment_id bigint primary key) on commit drop;
create temporary table affected_interactions (interaction_id bigint primary key) on commit drop;

-- Stocks of a product in a warehouse, from this day on.
create temporary table affected_stocks (
    product_id bigint, warehouse_code text, from_date date, primary key (product_id, warehouse_code)
) on commit drop;

-- Days with a changed fact: their sums are recomputed.
create temporary table affected_days (
    fact text, date_key date, primary key (fact, date_key)
) on commit drop;

-- Customers' months with an order that has changed.
create temporary table affected_customer_months (
    customer_id bigint, month_start_date date, primary key (customer_id, month_start_date)
) on commit drop;

-- Days of the rows of affected keys, before and after: facts are only searched on these days, so
-- that a load reads only the months and days that it changes.
create temporary table fact_dates (
    fact text, date_key date, primary key (fact, date_key)
) on commit drop;

-- Versions whose facts need a new lookup of their version, from this instant on.
create temporary table rekeyed_products (
    product_key bigint primary key, from_at timestamptz
) on commit drop;
create temporary table rekeyed_customers (
    customer_key bigint primary key, from_at timestamptz
) on commit drop;

-- Recomputed rows of facts, before they replace the existing ones.
create temporary table order_chunk (order_id bigint primary key) on commit drop;
create temporary table new_transactions (like mart.fact_transactions) on commit drop;
create temporary table new_payments (like mart.fact_payments) on commit drop;
create temporary table new_interactions (like mart.fact_user_interactions) on commit drop;
create temporary table new_stocks (like mart.fact_stocks) on commit drop;
