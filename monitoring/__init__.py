"""The exporter, and configuration of Prometheus and Grafana, natively and in Compose."""
