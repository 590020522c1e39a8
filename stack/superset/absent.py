"""Charts of what the shop does not have: dashboards say so in their places, and show no zeros.

A mapping says which entities are absent. Files do not change: an export restores the charts.
"""

import copy
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lakehouse.contracts import ENTITIES
from stack.superset.files import Files
from stack.superset.labels import Labels

NOT_CONNECTED = "Not connected"
CHARTS: Mapping[str, Collection[str]] = {
    "customers": (
        "average_lifetime_value", "cohort_retention", "customers", "leaving_customers",
        "leaving_list", "leaving_share", "new_and_returning", "next_for_segment", "repeat_share",
        "segment_value", "segments",
    ),
    "interactions": (
        "conversion", "conversion_by_device", "daily_referrers", "live_funnel", "visit_funnel",
    ),
    "payments": ("daily_payments", "refund_share"),
    "returns": ("returns",),
    "stock_movements": (
        "live_stock", "lost_revenue", "lost_sales", "order_cost", "reorder", "stock_value",
    ),
    "suppliers": ("reorder",),
}  # fmt: skip
"""Charts that show nothing but zeros, or nothing, without an entity; all others are of sales."""


def absent_charts() -> frozenset[str]:
    """Return the charts of the entities that the shop does not have."""
    absent = [name for name, entity in ENTITIES.items() if entity.is_absent]
    return frozenset(chart for name in absent for chart in CHARTS.get(name, ()))


def without_absent(files: Files, labels: Labels, absent: Collection[str]) -> Files:
    """Return the files with a text in the place of each absent chart."""
    changed = copy.deepcopy(files["dashboards"])
    texts = _texts(files, labels, absent)
    for node in _nodes(list(changed.values())):
        if node.get("chart") in texts:
            _exchange(node, "chart", "text", texts[node["chart"]])
    return {**files, "dashboards": changed}


def with_absent(files: Files, labels: Labels, absent: Collection[str]) -> Files:
    """Return exported files as they were before `without_absent`."""
    names = {text: name for name, text in _texts(files, labels, absent).items()}
    changed = copy.deepcopy(files["dashboards"])
    for node in _nodes(list(changed.values())):
        if node.get("text") in names:
            _exchange(node, "text", "chart", names[node["text"]])
    return {**files, "dashboards": changed}


def _texts(files: Files, labels: Labels, absent: Collection[str]) -> dict[str, str]:
    def shown(text: str) -> str:
        return labels.texts.get(text, text)

    return {
        name: f"**{shown(chart['slice_name'])}**\n\n{shown(NOT_CONNECTED)}"
        for name, chart in files["charts"].items()
        if name in absent
    }


def _exchange(node: dict[str, Any], key: str, other: str, value: str) -> None:
    """Replace a key and its value; the kind of a node comes first."""
    rest = {name: one for name, one in node.items() if name != key}
    node.clear()
    node.update({other: value, **rest})


def _nodes(content: object) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict):
        yield content
    for one in content.values() if isinstance(content, dict) else content:  # type: ignore[attr-defined]
        if isinstance(one, (dict, list)):
            yield from _nodes(one)
