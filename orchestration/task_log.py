"""Metrics of a task: a table in its log, and extra fields of its asset events."""

import logging
from collections.abc import Mapping, Sequence
from io import StringIO

from airflow.sdk import Asset, get_current_context
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

Metrics = Mapping[str, object]
_log = logging.getLogger(__name__)
_WIDTH = 120


def log_table(rows: Sequence[Metrics]) -> None:
    """Format metrics as a table with a column for each name that occurs."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    names = list(dict.fromkeys(name for row in rows for name in row))
    for number, name in enumerate(names):
        table.add_column(name.replace("_", " "), justify="right" if number else "left")
    for row in rows:
        table.add_row(*(_text(row.get(name)) for name in names))
    text = StringIO()
    Console(file=text, width=_WIDTH).print(table)
    for line in text.getvalue().splitlines():
        _log.info("%s", line.rstrip())


def publish(asset: Asset, metrics: Metrics) -> None:
    """Attach these metrics to the event that updates the asset."""
    get_current_context()["outlet_events"][asset].extra = dict(metrics)


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.2f}"
        case _:
            return str(value)
