-- Current rows per source table, as silver has them: a deleted row is not here. Types and
-- comments follow lakehouse/contracts/; the coordinate is that of the change that wrote the row.

-- Grain: one row per supplier.
create table entity.suppliers (
    supplier_id bigint primary key,
    name text not null,
    contact_name text not null,
    email text not null,
    phone text not null,
    country text not null,
    city text not null,
    lead_time_days bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version bigint not null,
    _topic_id text not null,
    _epoch integer not null,
    _partition integer not null,
    _offset bigint not null
);

-- Grain: one row per product.
create table entity.products (
    product_id bigint primary key,
    supplier_id bigint not null,
    sku text not null,
    name text not null,
    category text not null,
    brand text not null,
    description text not null,
    price_cents bigint not null,
    cost_cents bigint not null,
    weight_grams bigint not null,
    is_active boolean not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version bigint not null,
    _topic_id text not null,
    _epoch integer not null,
    _partition integer not null,
    _offset bigint not null
);

create index products_supplier_id_idx on entity.products (supplier_id);

-- Grain: one row per version of product, from valid_from_at (inclusive) to valid_to_at.
create table entity.products_history (
    like entity.products,
    valid_from_at timestamptz not null,
    valid_to_at timestamptz,
    primary key (product_id, _epoch, _offset)
);

-- Grain: one row per account.
create table entity.customers (
    customer_id bigint primary key,
    first_name text not null,
    last_name text not null,
    email text not null,
    phone text,
    birth_date date,
    street text not null,
    postal_code text not null,
    city text not null,
    region text not null,
    country text not null,
    latitude double precision,
    longitude double precision,
    accepts_marketing boolean not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version bigint not null,
    region_code text,
    person_key text,
    _topic_id text not null,
    _epoch integer not null,
    _partition integer not null,
    _offset bigint not null
);

-- Grain: one row per version of account, from valid_from_at (inclusive) to valid_to_at.
create table entity.customers_history (
    like entity.customers,
    valid_from_at timestamptz not null,
    valid_to_at timestamptz,
    primary key (customer_id, _epoch, _offset)
);

-- Grain: one row per order.
create table entity.orders (
    order_id bigint primary key,
    customer_id bigint,
    channel text not null,
    status text not null,
    currency text not null,
    exchange_rate_e8 bigint not null,
    subtotal_cents bigint not null,
    discount_cents bigint not null,
    shipping_cents bigint not null,
    tax_cents bigint not null,
    total_cents bigint not null,
    base_total_cents bigint not null,
    coupon_code text,
    ship_city text not null,
    ship_region text not null,
    ship_country text not null,
    placed_at timestamptz not null,
    paid_at timestamptz,
    packed_at timestamptz,
    shipped_at timestamptz,
    delivered_at timestamptz,
    cancelled_at timestamptz,
    returned_at timestamptz,
    refunded_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version bigint not null,
    placed_date date not null,
    placed_month text not null,
    ship_region_code text,
    _topic_id text not null,
    _epoch integer not null,
    _partition integer not null,
    _offset bigint not null
);

create index orders_customer_id_idx on entity.orders (customer_id);

-- Grain: one row per product in an order.
create table entity.order_lines (
    order_line_id bigint primary key,
    order_id bigint not null,
    line_number bigint not null,
    product_id bigint not null,
    warehouse_code text not null,
    quantity bigint not null,
    unit_price_cents bigint not null,
    line_total_cents bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version bigint not null,
    created_date date not null,
    created_month text not null,
    _topic_id text not null,
    _epoch integer not null,
    _partition integer not null,
    _offset bigint not null
);

create index order_lines_order_id_idx on entity.order_lines (order_id);

-- Grain: one row per attempt to move money: a payment to the shop, or a refund by it.
create table entity.payments (
    payment_id bigint primary key,
    order_id bigint not null,
    kind text not null,
    method text not null,
    status text not null,
    amount_cents bigint not null,
    currency text not null,
    provider_reference text not null,
    settled_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version bigint not null,
    created_date date not null,
    created_month text not null,
    _topic_id text not null,
    _epoch integer not null,
    _partition integer not null,
    _offset bigint not null
);

create index payments_order_id_idx on entity.payments (order_id);

-- Grain: one row per change of the units of a product in a warehouse.
create table entity.stock_movements (
    movement_id bigint primary key,
    product_id bigint not null,
    warehouse_code text not null,
    kind text not null,
    quantity bigint not null,
    order_id bigint,
    occurred_at timestamptz not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version bigint not null,
    occurred_date date not null,
    occurred_month text not null,
    _topic_id text not null,
    _epoch integer not null,
    _partition integer not null,
    _offset bigint not null
);

create index stock_movements_product_warehouse_date_idx
on entity.stock_movements (product_id, warehouse_code, occurred_date);

-- Grain: one row per thing a visitor does.
create table entity.interactions (
    interaction_id bigint primary key,
    customer_id bigint,
    session_id text not null,
    product_id bigint,
    interaction_type text not null,
    device text not null,
    referrer text,
    rating bigint,
    occurred_at timestamptz not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version bigint not null,
    occurred_date date not null,
    occurred_month text not null,
    _topic_id text not null,
    _epoch integer not null,
    _partition integer not null,
    _offset bigint not null
);
