"""Which charts of a dashboard a filter reaches, by the columns of their datasets."""

from collections.abc import Mapping, Sequence
from typing import Any

from stack.superset.columns import Source
from stack.superset.files import Files
from stack.superset.layout import charts_in

Content = Mapping[str, Any]


def missed_charts(
    one: Content,
    layout: Sequence[dict[str, Any]],
    files: Files,
    sources: Mapping[str, Source],
) -> list[str] | None:
    """Return the charts of a layout that a filter does not reach, in order of their names.

    A filter follows a column: the one given as `follows`, or its target's. It reaches the charts
    whose dataset has that column; one of the time grain, those that have a time grain, too.

    Returns:
        None for a filter that follows no column.
    """
    targets = one.get("targets") or [{}]
    column = one.get("follows", targets[0].get("column"))
    if column is None:
        return None

    def is_reached(name: str) -> bool:
        chart = files["charts"][name]
        own = files["datasets"].get(chart["dataset"], {}).get("columns", ())
        columns = (*sources[chart["dataset"]].columns, *own)
        is_there = any(known["column_name"] == column for known in columns)
        needs_grain = one["filterType"] == "filter_timegrain"
        return is_there and (not needs_grain or "time_grain_sqla" in chart.get("params", {}))

    return sorted(name for name in charts_in(layout) if not is_reached(name))
