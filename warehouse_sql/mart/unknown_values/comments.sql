comment on view mart.unknown_values
is 'One row per table of the shop, column and value that is in no list of the contract: its rows '
'count as unknown.';
comment on column mart.unknown_values.entity
is 'The shop''s table.';
comment on column mart.unknown_values.column_name
is 'The shop''s column.';
comment on column mart.unknown_values.value
is 'What the shop says there; its first 100 characters.';
comment on column mart.unknown_values.row_count
is 'Rows of the shop that count as unknown by it.';
comment on column mart.unknown_values.example_key
is 'Key of one of them, the lowest.';
