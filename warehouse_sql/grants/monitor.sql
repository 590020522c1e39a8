-- The exporter reads the state of layers, quarantine and runs, but no row of the shop.
grant usage on schema mart, etl to monitor;
grant select on mart.data_freshness, mart.live_freshness to monitor;
grant select on mart.quarantine_by_rule, mart.runs to monitor;
grant select (run_number, details) on etl.runs to monitor;
