-- Sums by day, computed again for touched days only: what the materialized views sum up further.
-- Names are those of the metric dictionary; orders that do not count are left out. An order is
-- counted in each row that has a line of it, so orders add up over days, not over categories.

-- Grain: one row per day, country of delivery, channel and category.
create table mart.daily_sales (
    date_key date not null references mart.dim_dates (date_key),
    ship_country text not null,
    channel text not null,
    category text not null,
    orders bigint not null,
    units bigint not null,
    gross_revenue_cents bigint not null,
    discount_cents bigint not null,
    net_revenue_cents bigint not null,
    shipping_cents bigint not null,
    tax_cents bigint not null,
    total_cents bigint not null,
    refund_cents bigint not null,
    cost_cents bigint,
    margin_cents bigint,
    primary key (date_key, ship_country, channel, category)
);

-- Grain: one row per day, country and region of delivery.
create table mart.daily_geography (
    date_key date not null references mart.dim_dates (date_key),
    ship_country text not null,
    ship_region text not null,
    ship_region_code text,
    orders bigint not null,
    units bigint not null,
    net_revenue_cents bigint not null,
    total_cents bigint not null,
    refund_cents bigint not null,
    margin_cents bigint,
    primary key (date_key, ship_country, ship_region)
);

-- Grain: one row per day and product that was sold or looked at.
create table mart.daily_products (
    date_key date not null references mart.dim_dates (date_key),
    product_id bigint not null,
    views bigint not null,
    carts bigint not null,
    orders bigint not null,
    units bigint not null,
    gross_revenue_cents bigint not null,
    net_revenue_cents bigint not null,
    refund_cents bigint not null,
    cost_cents bigint,
    margin_cents bigint,
    primary key (date_key, product_id)
);

-- Grain: one row per day and device. Sessions are counted by how far they came on that day.
create table mart.daily_behaviour (
    date_key date not null references mart.dim_dates (date_key),
    device text not null,
    sessions bigint not null,
    view_sessions bigint not null,
    cart_sessions bigint not null,
    checkout_sessions bigint not null,
    purchase_sessions bigint not null,
    interactions bigint not null,
    primary key (date_key, device)
);
