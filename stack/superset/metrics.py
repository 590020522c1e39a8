"""Superset metrics from the metric dictionary, with money in units of the base currency."""

from typing import Any

from lakehouse.contracts.metrics import BY_NAME, METRICS

BASE = "base"
"""Placeholder for the base currency in the files."""
_MONEY = {"symbol": BASE, "symbolPosition": "suffix"}


def dictionary_metric(name: str) -> dict[str, Any]:
    """Return the Superset metric of a name in the dictionary."""
    metric = BY_NAME[name]
    is_money = name.endswith("_cents")
    found: dict[str, Any] = {
        "metric_name": name.removesuffix("_cents"),
        "verbose_name": metric.title,
        "expression": f"SUM({name}) / 100.0" if is_money else f"SUM({name})",
        "description": f"{metric.title}: {metric.formula}. Counted on {metric.recognised}.",
        "d3format": ",.0f" if is_money else ",d",
    }
    return found | ({"currency": _MONEY} if is_money else {})


DICTIONARY = {metric.name: dictionary_metric(metric.name) for metric in METRICS}
