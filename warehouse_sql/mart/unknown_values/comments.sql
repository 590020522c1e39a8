comment on view mart.unknown_values
is 'One row per table of the shop, column and value that the contract does not list: its rows '
'count as unknown.';
comment on column mart.unknown_values.entity
is 'The shop''s table.';
comment on column mart.unknown_values.column_name
is 'The shop''s column.';
comment on column mart.unknown_values.value
is 'The shop''s value; its first 100 characters.';
comment on column mart.unknown_values.row_count
is 'Rows of the shop with this value, which count as unknown.';
comment on column mart.unknown_values.example_key
is 'Lowest key of these rows.';
