"""Dashboards as YAML files in a canonical form, so that changes have small diffs."""

import copy
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override

from lakehouse.declarations import read_mapping
from lakehouse.errors import StopPipelineError
from lakehouse.settings import ROOT
from stack.superset.names import KINDS

FOLDER = ROOT / "dashboards"
Files = dict[str, dict[str, dict[str, Any]]]
"""Contents by name, by kind."""
_INLINE = 88
"""Maximum length of a list or mapping that is written on one line."""


def read_files(folder: Path = FOLDER) -> Files:
    """Read all files, by kind and name.

    The file of a chart may hold its dataset, which then has the chart's name, and its place: the
    last row of a dashboard's tab.

    Raises:
        StopPipelineError: one of them is not valid YAML, there are two datasets of one name, or a
            chart's place is on no dashboard.
    """
    files = {
        kind: {path.stem: read_mapping(path) for path in sorted((folder / kind).glob("*.yaml"))}
        for kind in KINDS
    }
    for name, chart in files["charts"].items():
        if isinstance(chart.get("dataset"), dict):
            if name in files["datasets"]:
                problem = f"{name}.yaml stands in both datasets/ and charts/"
                raise StopPipelineError(problem, "Remove one of them.")
            files["datasets"][name] = chart["dataset"]
            chart["dataset"] = name
        if "place" in chart:
            _tab_of(chart, files, f"charts/{name}.yaml").append(_placed(name, chart))
    files["datasets"] = dict(sorted(files["datasets"].items()))
    return files


def _placed(name: str, chart: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a dashboard that a chart fills."""
    return {"row": [{"chart": name, "width": 12, "height": chart["place"]["height"]}]}


def _tab_of(chart: Mapping[str, Any], files: Files, file: str) -> list[dict[str, Any]]:
    """Return the rows of the tab that a chart's place names."""
    place = chart["place"]
    board = files["dashboards"].get(place["dashboard"], {"layout": []})
    for node in board["layout"]:
        for tab in node.get("tabs", ()):
            if tab["tab"] == place["tab"]:
                rows: list[dict[str, Any]] = tab["holds"]
                return rows
    problem = (
        f"dashboards/{file} refers to a tab {place['tab']!r} of {place['dashboard']!r}, which is "
        "not there"
    )
    raise StopPipelineError(problem, "Correct its place.")


def to_texts(files: Files) -> dict[str, str]:
    """Return the canonical text of each file, by path: a dataset of one chart is in its file."""
    users = Counter(chart.get("dataset") for chart in files["charts"].values())
    files = files | {"dashboards": copy.deepcopy(files["dashboards"])}
    charts = {}
    for name, chart in reversed(files["charts"].items()):
        text = dict(chart)
        if "place" in chart:
            rows = _tab_of(chart, files, f"charts/{name}.yaml")
            if rows[-1:] == [_placed(name, chart)]:
                rows.pop()
            else:  # It was moved in the browser.
                del text["place"]
        if chart.get("dataset") == name and users[name] == 1:
            text["dataset"] = files["datasets"][name]
        charts[name] = text
    kept = {
        name: dataset
        for name, dataset in files["datasets"].items()
        if charts.get(name, {}).get("dataset") is not dataset
    }
    return {
        f"{kind}/{name}.yaml": to_text(content)
        for kind, contents in (files | {"datasets": kept, "charts": charts}).items()
        for name, content in contents.items()
    }


def write_files(files: Files, folder: Path = FOLDER) -> list[Path]:
    """Write changed files and delete obsolete ones; returns the affected paths."""
    changed = []
    texts = to_texts(files)
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    for kind in files:
        gone = [
            p for p in sorted((folder / kind).glob("*.yaml")) if f"{kind}/{p.name}" not in texts
        ]
        for path in gone:
            path.unlink()
        changed += gone
    return changed


def to_text(content: Mapping[str, Any]) -> str:
    """Return the canonical text of a file."""
    return yaml.dump(
        content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, indent=2
    )


class _Dumper(yaml.SafeDumper):
    """YAML dumper: multi-line text as blocks, short lists on one line, others in block style."""

    @override
    def represent_data(self, data: Any) -> yaml.Node:
        node: yaml.Node = super().represent_data(data)
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = _is_short(node)
        elif isinstance(data, str) and isinstance(node, yaml.ScalarNode) and "\n" in data:
            node.style = "|"
        return node

    @override
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _is_short(node: yaml.Node) -> bool:
    return _length(node) <= _INLINE and not _has_lines(node)


def _length(node: yaml.Node) -> int:
    if isinstance(node, yaml.MappingNode):
        return 2 + sum(_length(key) + _length(value) + 4 for key, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return 2 + sum(_length(value) + 2 for value in node.value)
    return len(node.value)


def _has_lines(node: yaml.Node) -> bool:
    if isinstance(node, yaml.MappingNode):
        return any(_has_lines(value) for _, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return any(_has_lines(value) for value in node.value)
    return "\n" in node.value
