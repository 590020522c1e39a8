comment on view mart.runs
is 'One row per run of a command that writes to a layer, or of a DAG; failed ones included.';
comment on column mart.runs.run_number
is 'Number of the run, in order of their start.';
comment on column mart.runs.kind
is 'consolidation, replay, extraction, rebuild, maintenance or redrive.';
comment on column mart.runs.what
is 'Summary of the arguments of the run, as resolved.';
comment on column mart.runs.outcome
is 'running, succeeded, failed, or interrupted: its process died without recording an outcome.';
comment on column mart.runs.rows_read
is 'Rows or changes that were read from the first layer; empty where this does not apply.';
comment on column mart.runs.rows_written
is 'Rows inserted, updated or deleted in all layers; empty where this does not apply.';
comment on column mart.runs.seconds
is 'Duration in seconds; of a run that has not ended, until its record was last written.';
comment on column mart.runs.who
is 'User and machine, or airflow.';
comment on column mart.runs.code_version
is 'First 12 digits of a SHA-256 of the code between Kafka and the warehouse.';
comment on column mart.runs.contract_version
is 'First 12 digits of a SHA-256 of all contracts and of the cleaning code.';
comment on column mart.runs.started_at
is 'When it started.';
comment on column mart.runs.finished_at
is 'When it ended; empty while it runs, or if its process died.';
