"""Superset: its service, and the dashboards in it."""
