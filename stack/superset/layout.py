"""Layout of a dashboard: nested lists in the files, a table of nodes in Superset.

In a file, a node has its kind with its content, and further attributes:

    - row:
      - {chart: orders, width: 3, height: 20}
      - {text: Sums of the last hour., width: 3, height: 20}
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_GRID, _ROOT = "GRID_ID", "ROOT_ID"
_HOLDS_NODES = ("row", "column", "tabs", "tab")
_CONTENT = {"chart": "uuid", "text": "code", "header": "text", "tab": "text"}
"""Attribute in Superset's `meta` that holds the node's name; a tab's children are its `holds`."""
_TYPES = {
    "row": "ROW", "column": "COLUMN", "tabs": "TABS", "tab": "TAB", "chart": "CHART",
    "text": "MARKDOWN", "header": "HEADER", "divider": "DIVIDER",
}  # fmt: skip
_WORDS = {type_: word for word, type_ in _TYPES.items()}
_DEFAULTS = {"background": "BACKGROUND_TRANSPARENT", "placeholder": "Tab title"}
_VOLATILE = ("chartId", "sliceName", "sliceNameOverride", "defaultText", "0")

Node = dict[str, Any]


@dataclass(kw_only=True)
class Chart:
    """The attributes of a chart that a layout needs."""

    name: str
    uuid: str
    title: str
    number: int


@dataclass(kw_only=True)
class _Positions:
    """A table of nodes under construction."""

    charts: Mapping[str, Chart]
    nodes: dict[str, Any] = field(default_factory=dict)

    def add(self, node: Node, parents: Sequence[str], place: str) -> str:
        word = next(iter(node))
        held = node.get("holds", ()) if word == "tab" else node[word]
        key = f"{_TYPES[word]}-{_suffix(word, node, place)}"
        meta = {name: value for name, value in node.items() if name not in (word, "holds")}
        if word in ("row", "column"):
            meta.setdefault("background", _DEFAULTS["background"])
        if word in _CONTENT:
            meta[_CONTENT[word]] = node[word]
        if word == "chart":
            chart = self.charts[node[word]]
            meta |= {"uuid": chart.uuid, "sliceName": chart.title, "chartId": chart.number}
        below = [*parents, key]
        children = (
            [self.add(child, below, f"{place}-{i}") for i, child in enumerate(held, 1)]
            if word in _HOLDS_NODES
            else []
        )
        self.nodes[key] = {
            "type": _TYPES[word], "id": key, "children": children, "parents": list(parents),
            "meta": meta,
        }  # fmt: skip
        return key


def to_position(layout: Sequence[Node], charts: Mapping[str, Chart], title: str) -> dict[str, Any]:
    """Return Superset's table of nodes, with stable keys derived from names and positions."""
    found = _Positions(charts=charts)
    # Top-level tabs take the place of the grid.
    has_tabs = bool(layout) and "tabs" in layout[0]
    parents = [_ROOT] if has_tabs else [_ROOT, _GRID]
    top = [found.add(node, parents, str(i)) for i, node in enumerate(layout, 1)]
    grid = {"type": "GRID", "id": _GRID, "children": [] if has_tabs else top, "parents": [_ROOT]}
    return {
        "DASHBOARD_VERSION_KEY": "v2",
        _ROOT: {"type": "ROOT", "id": _ROOT, "children": top if has_tabs else [_GRID]},
        _GRID: grid,
        "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": title}},
        **dict(sorted(found.nodes.items())),
    }


def from_position(position: Mapping[str, Any], name_of_chart: Callable[[str], str]) -> list[Node]:
    """Return the nested lists of Superset's table of nodes."""

    def node(key: str) -> Node:
        found = position[key]
        word = _WORDS[found["type"]]
        meta = {k: v for k, v in found.get("meta", {}).items() if k not in _VOLATILE}
        meta = {k: v for k, v in meta.items() if v is not None and _DEFAULTS.get(k) != v}
        children = [node(child) for child in found.get("children", ())]
        if word == "tab":
            return {word: meta.pop("text", ""), **_sorted(meta), "holds": children}
        if word in _HOLDS_NODES:
            return {word: children, **_sorted(meta)}
        content = str(meta.pop(_CONTENT[word])) if word in _CONTENT else ""
        return {word: name_of_chart(content) if word == "chart" else content, **_sorted(meta)}

    top = position[_ROOT]["children"]
    start = position[_GRID]["children"] if top == [_GRID] else top
    return [node(key) for key in start]


def tabs_of(layout: Sequence[Node]) -> list[Node]:
    """Return the tabs of a dashboard; none if it has none."""
    return [tab for node in layout for tab in node.get("tabs", ())]


def charts_at_first(layout: Sequence[Node]) -> list[str]:
    """Return the names of the charts that are drawn when a dashboard opens."""
    above = [node for node in layout if "tabs" not in node]
    first = tabs_of(layout)[:1]
    return charts_in([*above, *(node for tab in first for node in tab["holds"])])


def charts_in(layout: Sequence[Node]) -> list[str]:
    """Return the names of the charts, in reading order."""
    found: list[str] = []
    for node in layout:
        word = next(iter(node))
        if word == "chart":
            found.append(node[word])
        elif word in _HOLDS_NODES:
            found += charts_in(node["holds"] if word == "tab" else node[word])
    return found


def _suffix(word: str, node: Node, place: str) -> str:
    """Return a key suffix; it includes the position, since a chart may occur twice."""
    if word in ("chart", "tab"):
        return re.sub(r"[^A-Za-z0-9]+", "-", f"{node[word]}-{place}")
    return place


def _sorted(meta: Mapping[str, Any]) -> dict[str, Any]:
    order = {"width": 0, "height": 1}
    return dict(sorted(meta.items(), key=lambda item: (order.get(item[0], 2), item[0])))
