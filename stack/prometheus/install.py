"""Prometheus, its tool and the StatsD exporter, built from the locked module.

Without Prometheus' own pages: those are made with Node. Its interface is all there, and one page of
ours (`monitoring/consoles`).
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
    # Targets come from files; finding them in clouds is most of the code.
    tags="remove_all_sd",
)
