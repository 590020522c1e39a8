-- Facts, by month of their day. The default partition holds the unknown day.

-- Grain: one order line. Amounts in cents of the base currency, by the metric dictionary; they
-- count only where counts is true. Until its order is here, a line has the unknown day, customer
-- and product, and no amounts.
create table mart.fact_transactions (
    order_line_id bigint not null,
    order_id bigint not null,
    line_number bigint not null,
    date_key date not null references mart.dim_dates (date_key),
    product_key bigint not null references mart.dim_products (product_key),
    customer_key bigint not null references mart.dim_customers (customer_key),
    product_id bigint not null,
    customer_id bigint,
    placed_at timestamptz,
    counts boolean not null,
    status text,
    channel text,
    currency text,
    ship_country text,
    ship_region text,
    ship_region_code text,
    ship_city text,
    warehouse_code text not null,
    units bigint not null,
    gross_revenue_cents bigint,
    discount_cents bigint,
    net_revenue_cents bigint,
    shipping_cents bigint,
    tax_cents bigint,
    total_cents bigint,
    refund_cents bigint,
    cost_cents bigint,
    margin_cents bigint,
    primary key (order_line_id, date_key)
) partition by range (date_key);

create table mart.fact_transactions_default partition of mart.fact_transactions default;
create index fact_transactions_date_idx on mart.fact_transactions (date_key, ship_country);
create index fact_transactions_order_idx on mart.fact_transactions (order_id);
create index fact_transactions_product_idx on mart.fact_transactions (product_key);
create index fact_transactions_customer_idx on mart.fact_transactions (customer_key);

-- Grain: one attempt to move money. It has the day of the attempt; customer, country and the amount
-- in the base currency come with the order.
create table mart.fact_payments (
    payment_id bigint not null,
    order_id bigint not null,
    date_key date not null references mart.dim_dates (date_key),
    customer_key bigint not null references mart.dim_customers (customer_key),
    customer_id bigint,
    created_at timestamptz not null,
    settled_at timestamptz,
    kind text not null,
    method text not null,
    status text not null,
    ship_country text,
    currency text not null,
    amount_cents bigint not null,
    base_amount_cents bigint,
    primary key (payment_id, date_key)
) partition by range (date_key);

create table mart.fact_payments_default partition of mart.fact_payments default;
create index fact_payments_date_idx on mart.fact_payments (date_key, method);
create index fact_payments_customer_idx on mart.fact_payments (customer_key);

-- Grain: one thing that a visitor does.
create table mart.fact_user_interactions (
    interaction_id bigint not null,
    date_key date not null references mart.dim_dates (date_key),
    customer_key bigint not null references mart.dim_customers (customer_key),
    product_key bigint not null references mart.dim_products (product_key),
    customer_id bigint,
    product_id bigint,
    session_id text not null,
    interaction_type text not null,
    device text not null,
    referrer text,
    rating bigint,
    occurred_at timestamptz not null,
    primary key (interaction_id, date_key)
) partition by range (date_key);

create table mart.fact_user_interactions_default partition of mart.fact_user_interactions default;
create index fact_user_interactions_date_idx on mart.fact_user_interactions (date_key, device);
create index fact_user_interactions_customer_idx on mart.fact_user_interactions (customer_key);
create index fact_user_interactions_product_idx on mart.fact_user_interactions (product_key);

-- Grain: one product in one warehouse on one day with movements.
-- opening + received - sold + returned + adjusted = closing = the opening of the next such day.
create table mart.fact_stocks (
    product_id bigint not null,
    warehouse_code text not null,
    date_key date not null references mart.dim_dates (date_key),
    product_key bigint not null references mart.dim_products (product_key),
    last_movement_at timestamptz not null,
    opening_units bigint not null,
    received_units bigint not null,
    sold_units bigint not null,
    returned_units bigint not null,
    adjusted_units bigint not null,
    closing_units bigint not null,
    primary key (product_id, warehouse_code, date_key)
) partition by range (date_key);

create table mart.fact_stocks_default partition of mart.fact_stocks default;
create index fact_stocks_date_idx on mart.fact_stocks (date_key);
create index fact_stocks_product_idx on mart.fact_stocks (product_key);
