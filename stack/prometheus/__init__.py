"""Prometheus and the StatsD exporter for Airflow's metrics, built with Go."""
