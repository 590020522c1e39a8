"""Metric dictionary: the definition of each metric and its day. Charts and tables use it.

An order *counts* unless it was cancelled before it was paid. All metrics of an order count on the
day on which it was placed, including its refund: a day shows what its orders were worth in the
end. Order-level amounts are allocated to the lines by largest remainder, to the cent; evenly if
all weights are zero. The share of missing lines (delayed, quarantined, never written) is in no
metric; `reconcile` and the check `order_totals_are_in_facts` report how much that is.
"""

from pathlib import Path

from pydantic import TypeAdapter

from lakehouse.declarations import Declaration, read_declaration


class Metric(Declaration):
    """One metric. `formula` is in terms of contract columns and of other metrics."""

    name: str
    title: str
    unit: str
    formula: str
    recognised: str


class _Dictionary(Declaration):
    sales: tuple[Metric, ...]
    visits: tuple[Metric, ...]
    others: tuple[Metric, ...]


_DICTIONARY = read_declaration(Path(__file__).with_name("metrics.yaml"), TypeAdapter(_Dictionary))
METRICS, VISITS, OTHERS = _DICTIONARY.sales, _DICTIONARY.visits, _DICTIONARY.others
SHARE = "parts of one"
"""Unit of shares."""
BY_NAME = {metric.name: metric for metric in (*METRICS, *VISITS, *OTHERS)}
