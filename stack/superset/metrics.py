"""The metric dictionary's metrics, as Superset's metrics: money in units of the base currency."""

from typing import Any

from lakehouse.contracts.metrics import BY_NAME, METRICS

BASE = "base"
"""Stands in the files for the base currency."""
_MONEY = {"symbol": BASE, "symbolPosition": "suffix"}


def dictionary_metric(name: str) -> dict[str, Any]:
    """The metric that a file names by its name in the dictionary."""
    metric = BY_NAME[name]
    is_money = name.endswith("_cents")
    found: dict[str, Any] = {
        "metric_name": name.removesuffix("_cents"),
        "verbose_name": metric.title,
        "expression": f"SUM({name}) / 100.0" if is_money else f"SUM({name})",
        "description": f"{metric.title}: {metric.formula}. Counts on {metric.recognised}.",
        "d3format": ",.0f" if is_money else ",d",
    }
    return found | ({"currency": _MONEY} if is_money else {})


DICTIONARY = {metric.name: dictionary_metric(metric.name) for metric in METRICS}
