"""The exporter, and the files that Prometheus and Grafana read, natively and in Compose."""
