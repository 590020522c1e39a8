"""Conversion of Superset's export to files.

Derived values are left out, so that an export after an import changes no file.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stack.superset.columns import Source
from stack.superset.files import Files
from stack.superset.filters import missed_charts
from stack.superset.labels import Labels
from stack.superset.layout import from_position
from stack.superset.metrics import BASE, DICTIONARY
from stack.superset.names import (
    DATABASE_ID,
    KINDS,
    derived_id,
    id_of,
    name_from,
    title_of,
)
from stack.superset.to_superset import COLUMN_DEFAULTS, Content, renamed_currency

Names = Mapping[str, Mapping[str, str]]
"""A file's name by id, by kind."""
_SESSION_PARAMS = {
    "annotation_layers", "dashboardId", "dashboards", "datasource", "extra_form_data",
    "map_label_colors", "shared_label_colors", "slice_id", "url_params", "viz_type",
}  # fmt: skip
"""Derived values that the browser adds to a chart."""
_METADATA = (
    "color_scheme", "cross_filters_enabled", "filter_bar_orientation", "label_colors",
    "refresh_frequency", "stagger_refresh",
)  # fmt: skip
"""Settings of a dashboard that are exported; others are internal to the browser."""
_FILTER_DEFAULTS = {
    "type": "NATIVE_FILTER",
    "cascadeParentIds": [],
    "description": "",
    "defaultDataMask": {"extraFormData": {}, "filterState": {}, "ownState": {}},
}
_FILTER_VOLATILE = {"chartsInScope", "tabsInScope", "scope", "targets", "removed"}
_ORDER = ("column_name", "metric_name", "verbose_name", "type", "is_dttm", "expression")
_DATASET_KEYS = ("main_dttm_col", "description", "sql", "metrics", "columns")


def from_bundle(
    bundle: Mapping[str, Any],
    known: Files,
    read_sources: Callable[[Mapping[str, Content]], Mapping[str, Source]],
    currency: str,
    labels: Labels,
) -> Files:
    """Return the files.

    Args:
        bundle: Superset's export, by path.
        known: the existing files, for the names of their objects.
        read_sources: returns the columns of each dataset, by name.
        currency: the base currency.
        labels: the labels that the charts have.
    """
    bundle = labels.to_codes(bundle)
    found = {
        kind: [content for path, content in sorted(bundle.items()) if path.startswith(f"{kind}/")]
        for kind in KINDS
    }
    ours = {d["uuid"] for d in found["datasets"] if d["database_uuid"] == DATABASE_ID}
    found["datasets"] = [d for d in found["datasets"] if d["uuid"] in ours]
    found["charts"] = [c for c in found["charts"] if c["dataset_uuid"] in ours]
    names = {kind: _names(kind, contents, known[kind]) for kind, contents in found.items()}
    sources = read_sources({names["datasets"][d["uuid"]]: d for d in found["datasets"]})

    def dataset(content: Content, name: str) -> Content:
        return _dataset(content, sources[name], labels)

    files: Files = {
        "datasets": _contents("datasets", found, names, dataset),
        "charts": _contents("charts", found, names, lambda c, _: _chart(c, names)),
    }

    for name, chart in files["charts"].items():
        if "place" in known["charts"].get(name, {}):
            chart["place"] = known["charts"][name]["place"]

    def dashboard(content: Content, name: str) -> Content:
        made = _dashboard(content, names)
        before = known["dashboards"].get(name, {}).get("filters", ())
        follows = {one["id"]: one["follows"] for one in before if "follows" in one}
        for one in made.get("filters", ()):
            if one["id"] in follows:
                one["follows"] = follows[one["id"]]
            if one["excluded"] == (missed_charts(one, made["layout"], files, sources) or []):
                del one["excluded"]
        return made

    files["dashboards"] = _contents("dashboards", found, names, dashboard)
    money: Files = renamed_currency(files, currency, BASE)
    return money


def _names(kind: str, contents: Sequence[Content], known: Mapping[str, Content]) -> dict[str, str]:
    """Return names of files: existing names, otherwise derived from titles."""
    taken = {id_of(kind, name, content): name for name, content in known.items()}
    names = {c["uuid"]: taken[c["uuid"]] for c in contents if c["uuid"] in taken}
    for content in contents:
        if content["uuid"] in names:
            continue
        # A dataset's name is that of its table.
        title = title_of(kind, content)
        name = title if kind == "datasets" else name_from(title)
        while name in names.values():
            name += "_2"
        names[content["uuid"]] = name
    return names


def _contents(
    kind: str,
    found: Mapping[str, Sequence[Content]],
    names: Names,
    translate: Callable[[Content, str], Content],
) -> dict[str, Content]:
    contents = {}
    for exported in found[kind]:
        name = names[kind][exported["uuid"]]
        contents[name] = translate(exported, name)
        if exported["uuid"] != derived_id(kind, name):
            contents[name]["uuid"] = exported["uuid"]
    return dict(sorted(contents.items()))


def _dataset(exported: Content, source: Source, labels: Labels) -> Content:
    described = {column["column_name"]: column for column in source.columns}
    generated = {metric["metric_name"]: name for name, metric in DICTIONARY.items()}
    # Superset exports both in arbitrary order.
    metrics: list[str | Content] = []
    for one in sorted(exported.get("metrics") or (), key=_metric_order):
        metric = _told(one)
        name = generated.get(metric["metric_name"])
        if name is not None and metric == _renamed_like(DICTIONARY[name], metric):
            metrics.append(name)
        else:
            metrics.append(_in_order(metric))
    columns = []
    for one in sorted(exported.get("columns") or (), key=lambda c: str(c["column_name"])):
        kept = {k: v for k, v in _told(one).items() if COLUMN_DEFAULTS.get(k) != v}
        column = labels.unlabelled(kept)
        base = described.get(column["column_name"], {})
        own = {k: v for k, v in column.items() if base.get(k) != v}
        if own:
            columns.append(_in_order({"column_name": column["column_name"], **own}))
    content = _told(exported) | {"metrics": metrics, "columns": columns}
    if content.get("description") == source.description:
        content.pop("description", None)
    return {key: content[key] for key in _DATASET_KEYS if content.get(key)}


def _metric_order(metric: Content) -> tuple[int, str]:
    """Sort metrics: those of the dictionary first, in its order."""
    titles = [known["metric_name"] for known in DICTIONARY.values()]
    name = metric["metric_name"]
    return (titles.index(name) if name in titles else len(titles), name)


def _renamed_like(metric: Content, like: Content) -> Content:
    """Return a metric of the dictionary with the currency of the other one."""
    symbol = (like.get("currency") or {}).get("symbol", BASE)
    renamed: Content = renamed_currency(metric, BASE, symbol)
    return renamed


def _chart(exported: Content, names: Names) -> Content:
    params = {
        k: v for k, v in sorted((exported.get("params") or {}).items()) if k not in _SESSION_PARAMS
    }
    content = {
        "slice_name": exported["slice_name"],
        "description": exported.get("description"),
        "viz_type": exported["viz_type"],
        "dataset": names["datasets"][exported["dataset_uuid"]],
        "cache_timeout": exported.get("cache_timeout"),
        "params": params,
    }
    if content["cache_timeout"] == -1:
        del content["cache_timeout"]
    return _told(content)


def _dashboard(exported: Content, names: Names) -> Content:
    position, metadata = exported["position"], exported.get("metadata") or {}
    charts = {
        node["meta"]["chartId"]: names["charts"][node["meta"]["uuid"]]
        for node in position.values()
        if isinstance(node, dict) and node["type"] == "CHART"
    }
    filters = metadata.get("native_filter_configuration") or ()
    return _told(
        {
            "dashboard_title": exported["dashboard_title"],
            "description": exported.get("description"),
            "slug": exported.get("slug"),
            "css": exported.get("css") or None,
            "metadata": {key: metadata[key] for key in _METADATA if metadata.get(key) is not None},
            "filters": [_filter(one, charts, names) for one in filters] or None,
            "layout": from_position(position, lambda uuid: names["charts"][uuid]),
        }
    )


def _filter(exported: Content, charts: Mapping[int, str], names: Names) -> Content:
    kept = {
        k: v
        for k, v in sorted(exported.items())
        if k not in _FILTER_VOLATILE and _FILTER_DEFAULTS.get(k) != v
    }
    targets = [
        {
            "dataset": names["datasets"][target["datasetUuid"]],
            **({"column": target["column"]["name"]} if "column" in target else {}),
        }
        for target in exported.get("targets") or ()
        if target
    ]
    scope = exported.get("scope") or {}
    excluded = sorted(charts[number] for number in scope.get("excluded", ()) if number in charts)
    front = {key: kept.pop(key) for key in ("name", "id", "filterType")}
    return {
        **front,
        **({"targets": targets} if targets else {}),
        "excluded": excluded,
        **kept,
    }


def _in_order(content: Content) -> Content:
    """Return the mapping with its keys in a readable, fixed order."""
    places = {key: place for place, key in enumerate(_ORDER)}
    return dict(sorted(content.items(), key=lambda one: (places.get(one[0], len(places)), one[0])))


def _told(content: Mapping[str, Any]) -> Content:
    """Return the mapping without empty values."""
    return {k: v for k, v in content.items() if v is not None and v not in ("", {}, [])}
