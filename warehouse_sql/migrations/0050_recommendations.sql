alter table etl.runs drop constraint runs_kind_check;
alter table etl.runs add constraint runs_kind_check check (
    kind in (
        'consolidation', 'replay', 'extraction', 'rebuild', 'maintenance', 'redrive', 'training'
    )
);

-- Grain: one row per customer, kind of list and rank, as of the last training.
create table etl.recommendation (
    customer_id bigint not null,
    kind text not null,
    rank bigint not null,
    product_id bigint not null,
    score_millionths bigint not null,
    model_version text not null,
    trained_until_at timestamptz not null,
    primary key (customer_id, kind, rank)
);

-- Grain: one row per product and rank, as of the last training.
create table etl.similar_product (
    product_id bigint not null,
    rank bigint not null,
    similar_product_id bigint not null,
    orders_together bigint not null,
    score_millionths bigint not null,
    model_version text not null,
    trained_until_at timestamptz not null,
    primary key (product_id, rank)
);

-- Grain: one row per training, kind of list and model.
create table etl.recommendation_quality (
    trained_until_at timestamptz not null,
    tested_from_at timestamptz not null,
    kind text not null,
    model text not null,
    is_published boolean not null,
    customers bigint not null,
    recall_basis_points bigint not null,
    ndcg_basis_points bigint not null,
    coverage_basis_points bigint not null,
    novelty_centibits bigint not null,
    model_version text not null,
    primary key (trained_until_at, kind, model)
);
