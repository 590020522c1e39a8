comment on view mart.runs
is 'One row per run of a command that writes a layer, or of a DAG; the failed ones included.';
comment on column mart.runs.run_number
is 'Its number, in the order in which they began.';
comment on column mart.runs.kind
is 'consolidation, replay, extraction, rebuild, maintenance or redrive.';
comment on column mart.runs.what
is 'What was asked for, and what that came to, in short.';
comment on column mart.runs.outcome
is 'running, succeeded, failed, or interrupted: its process died without a word.';
comment on column mart.runs.rows_read
is 'Rows or changes that it applied from where it began; empty where that says nothing.';
comment on column mart.runs.rows_written
is 'Rows that it inserted, changed or took away, in all layers; empty where that says nothing.';
comment on column mart.runs.seconds
is 'How long it took, in seconds; of one that has not ended, until it was last heard of.';
comment on column mart.runs.who
is 'User and machine, or airflow.';
comment on column mart.runs.code_version
is 'First 12 digits of a SHA-256 of the code between Kafka and the warehouse.';
comment on column mart.runs.contract_version
is 'First 12 digits of a SHA-256 of all contracts and of what cleans by them.';
comment on column mart.runs.started_at
is 'When it began.';
comment on column mart.runs.finished_at
is 'When it ended; empty while it has not, or if its process died.';
