"""What the DAGs share: errors and figures in Airflow's terms, and who is told when a run fails."""
