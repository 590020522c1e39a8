comment on view mart.freshness
is 'One row: how new the mart is.';
comment on column mart.freshness.published_at
is 'When it was last published; empty before that.';
