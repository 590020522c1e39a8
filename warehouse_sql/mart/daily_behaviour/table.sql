create table mart.daily_behaviour (
    date_key date not null references mart.dim_dates (date_key),
    device text not null,
    sessions bigint not null,
    cart_sessions bigint not null,
    checkout_sessions bigint not null,
    purchase_sessions bigint not null,
    interactions bigint not null,
    primary key (date_key, device)
);
