-- A shop of another design: singular names, uuids, whole cents, local times without a zone (Berlin),
-- statuses as numbers, prices that include the tax. It has no suppliers, and records no visits.
-- ./pipeline up runs this as the owner of the database, each time.

-- Grain: one row per customer.
create table if not exists client (
    id uuid primary key,
    given_name text not null,
    surname text not null,
    mail text not null,
    telephone text,
    born_on date,
    street text not null,
    zip text not null,
    town text not null,
    state_name text not null,
    country_code text not null,
    newsletter smallint not null check (newsletter in (0, 1)),
    registered_on timestamp not null,
    changed_on timestamp not null
);

-- Grain: one row per article. Kind: 1 books, 2 coffee and tea, 3 kitchen, 4 toys.
create table if not exists article (
    id uuid primary key,
    number text not null unique,
    title text not null,
    kind smallint not null check (kind in (1, 2, 3, 4)),
    maker text not null,
    blurb text not null,
    gross_minor integer not null,
    bought_minor integer not null,
    grams integer not null,
    vat_percent numeric(5, 2) not null,
    is_sold boolean not null,
    created_on timestamp not null,
    changed_on timestamp not null
);

-- Grain: one row per order. State: 1 placed, 2 paid, 3 packed, 4 shipped, 5 delivered, 6 cancelled,
-- 7 refunded. The total includes the tax.
create table if not exists purchase (
    id uuid primary key,
    client_id uuid references client (id) on delete set null,
    state smallint not null check (state in (1, 2, 3, 4, 5, 6, 7)),
    currency_code char(3),
    total_minor bigint not null,
    tax_minor bigint not null,
    town text not null,
    state_name text not null,
    country_code text not null,
    ordered_on timestamp not null,
    paid_on timestamp,
    packed_on timestamp,
    shipped_on timestamp,
    delivered_on timestamp,
    cancelled_on timestamp,
    refunded_on timestamp,
    changed_on timestamp not null
);

-- Grain: one row per article of an order. The price of a piece includes the tax.
create table if not exists purchase_item (
    id uuid primary key,
    purchase_id uuid not null references purchase (id) on delete cascade,
    article_id uuid not null references article (id),
    place smallint not null,
    pieces integer not null,
    gross_minor integer not null,
    vat_percent numeric(5, 2) not null,
    created_on timestamp not null
);
create index if not exists purchase_item_purchase_idx on purchase_item (purchase_id);

-- Grain: one row per movement of money. Direction: 1 in, 2 back. State: 0 pending, 1 done, 2 failed.
create table if not exists settlement (
    id uuid primary key,
    purchase_id uuid not null references purchase (id) on delete cascade,
    direction smallint not null check (direction in (1, 2)),
    means smallint not null check (means in (1, 2, 3)),
    state smallint not null check (state in (0, 1, 2)),
    amount_minor bigint not null,
    currency_code char(3),
    reference text not null,
    settled_on timestamp,
    created_on timestamp not null
);
create index if not exists settlement_purchase_idx on settlement (purchase_id);

grant select, insert, update, delete on client, article, purchase, purchase_item, settlement
to simulator;
