-- Grain: one row per table of the shop, column and value that the contract does not list: the
-- number of rows that count as unknown because of it.
create or replace view mart.unknown_values as
select
    u.entity,
    u.column_name,
    u.value,
    u.row_count,
    u.example_key
from etl.unknown_value as u;
