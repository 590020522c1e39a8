"""Conversion of files to Superset's import format.

Files do not contain derived values: ids, columns described in the warehouse, metrics of the
dictionary, defaults. They are added here; `from_superset` removes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lakehouse.errors import StopPipelineError
from stack.superset.columns import SCHEMA, Source
from stack.superset.files import Files
from stack.superset.filters import missed_charts
from stack.superset.labels import Labels
from stack.superset.layout import Chart, charts_in, to_position
from stack.superset.metrics import BASE, DICTIONARY
from stack.superset.names import DATABASE_ID, DATABASE_NAME, id_of

Content = dict[str, Any]
_VERSION = {"version": "1.0.0"}
COLUMN_DEFAULTS = {
    "is_active": True, "groupby": True, "filterable": True, "is_dttm": False,
    # Told, too, where there is none: what an import does not tell stays as it was.
    "expression": None, "verbose_name": None, "description": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Connection of the charts to the warehouse; `url` is SQLAlchemy's, with the password."""

    url: str
    time_zone: str
    currency: str


def to_bundle(
    files: Files, sources: Mapping[str, Source], place: Place, labels: Labels
) -> dict[str, Any]:
    """Return the files of Superset's import, by path; they contain the password.

    Raises:
        StopPipelineError: a file refers to an object that does not exist.
    """
    charts = _numbered(files["charts"])
    bundle: dict[str, Any] = {
        "metadata.yaml": {
            **_VERSION, "type": "assets", "timestamp": "2000-01-01T00:00:00+00:00",
        },
        f"databases/{DATABASE_NAME}.yaml": _database(place),
    }  # fmt: skip
    for name, content in files["datasets"].items():
        path = f"datasets/{DATABASE_NAME}/{name}.yaml"
        bundle[path] = _to_dataset(name, content, sources[name], labels)
    for name, content in files["charts"].items():
        bundle[f"charts/{name}.yaml"] = _to_chart(name, content, files)
    for name, content in files["dashboards"].items():
        bundle[f"dashboards/{name}.yaml"] = _to_dashboard(name, content, charts, files, sources)
    shown: Content = labels.to_words(renamed_currency(bundle, BASE, place.currency))
    return shown


def _database(place: Place) -> Content:
    # The session's time zone is UTC, so that date_trunc('day', …) of a date is that date.
    options = f"-c timezone=UTC -c shop.time_zone={place.time_zone}"
    return {
        "database_name": DATABASE_NAME,
        "sqlalchemy_uri": place.url,
        "cache_timeout": -1,
        "expose_in_sqllab": True,
        "allow_run_async": False,
        "allow_ctas": False,
        "allow_cvas": False,
        "allow_dml": False,
        "allow_csv_upload": False,
        "extra": {
            "allows_virtual_table_explore": True,
            # Charts of timestamps read the shop's time zone from this setting.
            "engine_params": {"connect_args": {"options": options}},
        },
        "uuid": DATABASE_ID,
        **_VERSION,
    }


def _to_dataset(name: str, content: Content, source: Source, labels: Labels) -> Content:
    own = {column["column_name"]: column for column in content.get("columns", ())}
    columns = [{**column, **own.pop(column["column_name"], {})} for column in source.columns]
    metrics = [
        DICTIONARY[metric] if isinstance(metric, str) else metric
        for metric in content.get("metrics", ())
    ]
    kept = {k: v for k, v in content.items() if k not in ("columns", "metrics", "sql")}
    return {
        "table_name": name,
        "description": source.description,
        "cache_timeout": -1,
        "catalog": None,
        "schema": SCHEMA,
        "sql": content.get("sql"),
        "filter_select_enabled": True,
        **kept,
        "columns": [
            COLUMN_DEFAULTS | dict(labels.labelled(column)) for column in (*columns, *own.values())
        ],
        "metrics": metrics,
        "uuid": id_of("datasets", name, content),
        "database_uuid": DATABASE_ID,
        **_VERSION,
    }


def _to_chart(name: str, content: Content, files: Files) -> Content:
    place = f"charts/{name}.yaml"
    dataset = content.get("dataset", "")
    return {
        "slice_name": content["slice_name"],
        "description": content.get("description"),
        "viz_type": content["viz_type"],
        "params": {**content.get("params", {}), "viz_type": content["viz_type"]},
        "cache_timeout": content.get("cache_timeout", -1),
        "uuid": id_of("charts", name, content),
        "dataset_uuid": _refer(files, "datasets", dataset, place),
        **_VERSION,
    }


def _to_dashboard(
    name: str,
    content: Content,
    charts: Mapping[str, Chart],
    files: Files,
    sources: Mapping[str, Source],
) -> Content:
    place = f"dashboards/{name}.yaml"
    for chart in charts_in(content["layout"]):
        _refer(files, "charts", chart, place)
    title = content["dashboard_title"]
    filters = []
    for one in content.get("filters", ()):
        missed = one.get("excluded", missed_charts(one, content["layout"], files, sources))
        filters.append(_to_filter({**one, "excluded": missed or ()}, charts, files, place))
    return {
        "dashboard_title": title,
        "description": content.get("description"),
        "css": content.get("css", ""),
        "slug": content.get("slug"),
        "published": True,
        "uuid": id_of("dashboards", name, content),
        "position": to_position(content["layout"], charts, title),
        "metadata": {
            **content.get("metadata", {}),
            "native_filter_configuration": filters,
            "timed_refresh_immune_slices": [],
        },
        **_VERSION,
    }


def _to_filter(one: Content, charts: Mapping[str, Chart], files: Files, place: str) -> Content:
    excluded = []
    for name in one["excluded"]:
        _refer(files, "charts", name, place)
        excluded.append(charts[name].number)
    targets = [
        {
            **({"column": {"name": target["column"]}} if "column" in target else {}),
            "datasetUuid": _refer(files, "datasets", target["dataset"], place),
        }
        for target in one.get("targets", ())
    ]
    kept = {k: v for k, v in one.items() if k not in ("excluded", "follows", "targets")}
    return {
        "type": "NATIVE_FILTER",
        "defaultDataMask": {"extraFormData": {}, "filterState": {}, "ownState": {}},
        "cascadeParentIds": [],
        "description": "",
        **kept,
        "scope": {"rootPath": ["ROOT_ID"], "excluded": excluded},
        "targets": targets or [{}],
    }


def _refer(files: Files, kind: str, name: str, place: str) -> str:
    if name not in files[kind]:
        message = f"dashboards/{place} refers to {name!r}, and there is no {kind}/{name}.yaml."
        raise StopPipelineError(message)
    return id_of(kind, name, files[kind][name])


def _numbered(charts: Mapping[str, Content]) -> dict[str, Chart]:
    """Return numbers of charts, by which Superset's bundles refer to them."""
    return {
        name: Chart(
            name=name, uuid=id_of("charts", name, content), title=content["slice_name"], number=i
        )
        for i, (name, content) in enumerate(charts.items(), 1)
    }


def renamed_currency(value: Any, old: str, new: str) -> Any:  # noqa: ANN401 - whatever YAML holds
    """Return the value with another currency in all currency formats."""
    if isinstance(value, dict):
        return {
            k: new if k == "symbol" and v == old else renamed_currency(v, old, new)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [renamed_currency(one, old, new) for one in value]
    return value
