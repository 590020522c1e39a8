"""Shared code of the DAGs: mapping of errors and metrics to Airflow's, and alerts."""
