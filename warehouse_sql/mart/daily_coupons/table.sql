create table mart.daily_coupons (
    date_key date not null references mart.dim_dates (date_key),
    coupon text not null,
    orders bigint not null,
    net_revenue_cents bigint not null,
    discount_cents bigint not null,
    margin_cents bigint,
    primary key (date_key, coupon)
);
