"""Prometheus and what Airflow tells it through, built with Go."""
