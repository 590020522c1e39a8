comment on view mart.freshness
is 'One row: the last publish of the warehouse.';
comment on column mart.freshness.published_at
is 'When the warehouse was last published; empty before the first time.';
