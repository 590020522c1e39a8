-- Surrogate key of a version: the coordinate of the change that started it. It is stable over
-- rebuilds, unique, and never negative. Room for 4096 partitions, 2^40 offsets each, 1024 epochs.
create or replace function etl.version_key(epoch integer, partition integer, "offset" bigint)
returns bigint
language sql
immutable
parallel safe
return (epoch::bigint << 52) | (partition::bigint << 40) | "offset";
