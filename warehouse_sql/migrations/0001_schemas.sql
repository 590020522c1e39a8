-- Schema etl is there already: it holds the record of these files.
-- Current rows per source table, as silver has them.
create schema entity;

-- The star that charts read.
create schema mart;

-- What is newer than the star.
create schema live;
