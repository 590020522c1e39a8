"""What the DAGs share: errors and metrics in Airflow's terms, and who is told when a run fails."""
