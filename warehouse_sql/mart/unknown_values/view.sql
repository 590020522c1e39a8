-- Grain: one row per table of the shop, column and value that is in no list of the contract: how
-- many rows count as unknown by it.
create or replace view mart.unknown_values as
select
    u.entity,
    u.column_name,
    u.value,
    u.row_count,
    u.example_key
from etl.unknown_value as u;
