"""Airflow: its environment, its three programs, and a client of its REST interface."""
