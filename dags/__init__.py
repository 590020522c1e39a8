"""DAGs, one per file; shared code is in `orchestration`."""
