"""Prometheus, its tool and the StatsD exporter, built from the locked module.

Without Prometheus' web UI, which is built with Node. The API is complete; a console page shows
alerts and metrics (`monitoring/consoles`).
"""

from stack.go import Module
from stack.paths import PROMETHEUS_MODULE

PROMETHEUS = Module(
    name="Prometheus",
    folder=PROMETHEUS_MODULE,
    packages=(
        "github.com/prometheus/prometheus/cmd/prometheus",
        "github.com/prometheus/prometheus/cmd/promtool",
        "github.com/prometheus/statsd_exporter",
    ),
    # Targets come from files; service discovery in clouds is most of the code.
    tags="remove_all_sd",
)
