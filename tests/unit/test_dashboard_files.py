"""The files of the dashboards, and how they become Superset's and files again."""

import copy
import csv

import pytest
import yaml

from lakehouse.contracts.metrics import BY_NAME, METRICS
from lakehouse.errors import StopPipelineError
from lakehouse.secrets import generate
from lakehouse.settings import ROOT
from stack.superset.absent import CHARTS, absent_charts, with_absent, without_absent
from stack.superset.columns import Source
from stack.superset.files import FOLDER, read_files, to_text, to_texts, write_files
from stack.superset.filters import missed_charts
from stack.superset.from_superset import from_bundle
from stack.superset.labels import read_labels
from stack.superset.layout import Chart, charts_in, from_position, to_position
from stack.superset.metrics import DICTIONARY
from stack.superset.names import derived_id, is_derived
from stack.superset.to_superset import Place, to_bundle

FILES = read_files()
TEXTS = to_texts(FILES)
LABELS = read_labels("en", "Europe/Paris")
PASSWORD = generate()
PLACE = Place(
    url=f"postgresql+psycopg2://reader:{PASSWORD}@127.0.0.1:1/w",
    time_zone="Europe/Paris", currency="EUR",
)  # fmt: skip
SOURCE = Source(
    columns=(
        {"column_name": "day", "type": "DATE", "is_dttm": True, "description": "The day."},
        {"column_name": "country", "type": "TEXT"},
    ),
    description="One row per day.",
)
SOURCES = dict.fromkeys(FILES["datasets"], SOURCE)


def as_exported(bundle):
    """What Superset gives back: numbers of its own, ids for names, nothing of ours in order."""
    exported = {path: content for path, content in bundle.items() if path != "metadata.yaml"}
    for path, content in exported.items():
        if path.startswith("datasets/"):
            content["metrics"] = list(reversed(content["metrics"]))
            content["columns"] = list(reversed(content["columns"]))
        if path.startswith("charts/"):
            content["params"] |= {"datasource": "7__table", "slice_id": 7, "dashboards": [1]}
    return exported


def back(files, labels=LABELS):
    bundle = to_bundle(files, SOURCES, PLACE, labels)
    return from_bundle(as_exported(bundle), files, lambda _: SOURCES, "EUR", labels)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_files_become_superset_s_and_the_same_files_again(language):
    files = back(FILES, read_labels(language, "Europe/Paris"))
    assert {
        kind: {n: to_text(c) for n, c in contents.items()} for kind, contents in files.items()
    } == {kind: {n: to_text(c) for n, c in contents.items()} for kind, contents in FILES.items()}


@pytest.mark.parametrize(
    "path", sorted(FOLDER.glob("*/*.yaml")), ids=lambda p: f"{p.parent.name}-{p.stem}"
)
def test_file_has_the_one_spelling(path):
    assert path.read_text() == TEXTS[path.relative_to(FOLDER).as_posix()]


def tabs_in(board):
    [tabs] = [node["tabs"] for node in board["layout"] if "tabs" in node]
    return tabs


def columns(*names):
    return Source(columns=tuple({"column_name": name} for name in names), description=None)


@pytest.mark.parametrize(
    ("kind", "column", "missed"),
    [
        pytest.param("filter_select", "country", ["visits"], id="column"),
        pytest.param("filter_select", "land", ["visits"], id="computed column"),
        pytest.param("filter_time", "day", [], id="period"),
        pytest.param("filter_timegrain", "day", ["sales"], id="grain"),
        pytest.param("filter_select", "nobody", ["by_day", "sales", "visits"], id="nowhere"),
    ],
)
def test_filter_reaches_the_charts_whose_dataset_has_its_column(kind, column, missed):
    charts = {
        "visits": {"dataset": "visits", "params": {"time_grain_sqla": "P1D"}},
        "sales": {"dataset": "sales"},
        "by_day": {"dataset": "sales", "params": {"time_grain_sqla": "P1D"}},
    }
    datasets = {"sales": {"columns": [{"column_name": "land", "expression": "country"}]}}
    files = {"datasets": datasets, "charts": charts, "dashboards": {}}
    sources = {"visits": columns("day"), "sales": columns("day", "country")}
    layout = [{"row": [{"chart": name, "width": 4, "height": 9} for name in charts]}]
    one = {"filterType": kind, "follows": column}
    assert missed_charts(one, layout, files, sources) == missed
    by_target = {"filterType": kind, "targets": [{"dataset": "sales", "column": column}]}
    assert missed_charts(by_target, layout, files, sources) == missed
    assert missed_charts({"filterType": kind}, layout, files, sources) is None


def test_dataset_in_the_file_of_its_chart_is_as_one_of_its_own(tmp_path):
    write_files(FILES, tmp_path)
    assert read_files(tmp_path) == FILES
    [chart] = tmp_path.glob("charts/live_stock.yaml")
    assert not (tmp_path / "datasets" / "live_stock.yaml").exists()
    assert "dataset:\n  metrics:" in chart.read_text()
    (tmp_path / "datasets" / "live_stock.yaml").write_text("metrics: []\n")
    with pytest.raises(StopPipelineError, match=r"live_stock\.yaml stands in both"):
        read_files(tmp_path)


def test_every_chart_says_what_it_shows_and_is_on_a_dashboard():
    shown = {name for board in FILES["dashboards"].values() for name in charts_in(board["layout"])}
    assert shown == set(FILES["charts"])
    for name, chart in FILES["charts"].items():
        assert len(chart.get("description", "")) > 20, name
    assert len({chart["slice_name"] for chart in FILES["charts"].values()}) == len(FILES["charts"])


def test_money_is_named_as_in_the_dictionary():
    names = {metric.name for metric in METRICS}
    named = {
        metric
        for dataset in FILES["datasets"].values()
        for metric in dataset.get("metrics", ())
        if isinstance(metric, str)
    }
    assert named <= names
    assert {"net_revenue_cents", "margin_cents", "refund_cents", "orders"} <= named


def test_conversion_is_that_of_the_dictionary():
    (found,) = [
        metric["expression"]
        for metric in FILES["datasets"]["daily_behaviour"]["metrics"]
        if metric["metric_name"] == "conversion"
    ]
    part, whole = BY_NAME["conversion"].formula.split(" / ")
    assert found == f"SUM({part})::numeric / NULLIF(SUM({whole}), 0)"


def test_live_page_renews_itself_all_at_once():
    metadata = FILES["dashboards"]["live_shop"]["metadata"]
    assert metadata["refresh_frequency"] == 5
    assert metadata["stagger_refresh"] is False


def test_password_and_currency_are_put_in_on_the_way():
    bundle = to_bundle(FILES, SOURCES, PLACE, LABELS)
    assert f"reader:{PASSWORD}@127.0.0.1:1/w" in bundle["databases/Shop.yaml"]["sqlalchemy_uri"]
    [net] = [
        metric
        for metric in bundle["datasets/Shop/daily_sales.yaml"]["metrics"]
        if metric["metric_name"] == "net_revenue"
    ]
    assert net["currency"]["symbol"] == "EUR"
    assert net["expression"] == "SUM(net_revenue_cents) / 100.0"


TITLES = ("dashboard_title", "slice_name", "subtitle", "tab", "verbose_name")


def shown_in(content):
    """All that people read: titles, captions, and what a chart says of itself."""
    if isinstance(content, list):
        return {text for one in content for text in shown_in(one)}
    if not isinstance(content, dict):
        return set()
    found = {one for key, one in content.items() if key in TITLES and one}
    if content.keys() & {"slice_name", "dashboard_title", "metric_name"}:
        found.add(content["description"])
    if "filterType" in content:
        found.add(content["name"])
    return found.union(*map(shown_in, content.values()))


def test_each_text_has_its_own_in_french():
    texts = read_labels("fr", "Europe/Paris").texts
    shown = shown_in(FILES) | shown_in(list(DICTIONARY.values()))
    assert shown - texts.keys() == set()
    assert len(set(texts.values())) == len(texts), "an export could not tell them apart"


def test_column_without_labels_in_a_language_loses_those_of_another():
    """English has the periods' codes as they are; an import of French has labels for them."""
    source = Source(columns=({"column_name": "period", "type": "TEXT"},), description=None)
    expressions = []
    for language in ("fr", "en"):
        labels = read_labels(language, "Europe/Paris")
        bundle = to_bundle(FILES, dict.fromkeys(SOURCES, source), PLACE, labels)
        [period] = [
            one
            for one in bundle["datasets/Shop/compared_periods.yaml"]["columns"]
            if one["column_name"] == "period"
        ]
        expressions.append(period["expression"])
    assert expressions[0].startswith("CASE")
    assert expressions[1] is None


def test_labels_that_have_changed_since_the_import_are_taken_away():
    """Else an export would keep them as the column's own expression."""
    english, french = (read_labels(language, "Europe/Paris") for language in ("en", "fr"))
    for column in (
        {"column_name": "channel", "type": "TEXT"},
        {"column_name": "reason", "expression": "replace(r, '_', ' ')"},
    ):
        assert french.unlabelled(english.labelled(column)) == column
    # One of a file's own, of a column without labels.
    own = {"column_name": "own", "expression": "CASE a WHEN 'x' THEN 'y' ELSE a END"}
    assert french.unlabelled(own) == own


@pytest.mark.parametrize("language", ["en", "fr"])
def test_codes_of_a_column_have_different_labels(language):
    for column, labels in read_labels(language, "Europe/Paris").values.items():
        assert len(set(labels.values())) == len(labels), column


def test_french_charts_show_words_instead_of_codes():
    french = read_labels("fr", "Indian/Reunion")
    source = Source(columns=({"column_name": "channel", "type": "TEXT"},), description=None)
    bundle = to_bundle(FILES, dict.fromkeys(SOURCES, source), PLACE, french)
    sales = bundle["datasets/Shop/daily_sales.yaml"]
    columns = {one["column_name"]: one for one in sales["columns"]}
    assert columns["channel"]["verbose_name"] == "Canal"
    expression = columns["channel"]["expression"]
    assert expression.startswith("CASE \"channel\" WHEN 'web' THEN 'Site web'")
    assert expression.endswith('ELSE "channel" END')
    assert bundle["charts/daily_hours.yaml"]["slice_name"].endswith(", Indian/Reunion")
    board = bundle["dashboards/shop_analytics.yaml"]
    tabs = {node["meta"]["text"] for key, node in board["position"].items() if key[:4] == "TAB-"}
    assert {
        "CA par période", "Performances produits", "Comportement clients", "Analyses géographiques",
    } <= tabs  # fmt: skip
    assert board["metadata"]["label_colors"]["Application mobile"] == "#F2A541"
    # A filter on codes asks for what the column has now.
    [waiting] = bundle["charts/waiting_orders.yaml"]["params"]["adhoc_filters"]
    assert waiting["comparator"] == ["Préparation", "Expédition"]


def test_layout_survives_superset_s_keys():
    charts = {"a": Chart(name="a", uuid="u-a", title="A", number=1)}
    layout = [
        {"tabs": [
            {"tab": "One", "holds": [{"row": [{"chart": "a", "width": 3, "height": 20}]}]},
            {"tab": "Two", "holds": [
                {"header": "Words"},
                {"row": [{"column": [{"text": "# Hello\n", "width": 4}], "width": 4}]},
                {"divider": ""},
            ]},
        ]}
    ]  # fmt: skip
    position = to_position(layout, charts, "Title")
    renamed = yaml.safe_load(yaml.safe_dump(position).replace("TAB-One-1-1", "TAB-x8Yz"))
    assert from_position(renamed, {"u-a": "a"}.get) == layout


def test_what_was_made_in_the_browser_keeps_its_id():
    made = "5f0c4b1e-3f0a-4c7e-9a53-0d1f6a7be6c4"
    bundle = as_exported(to_bundle(FILES, SOURCES, PLACE, LABELS))
    bundle["charts/New_1.yaml"] = {
        **bundle["charts/units.yaml"], "uuid": made, "slice_name": "Units, again!",
    }  # fmt: skip
    files = from_bundle(bundle, FILES, lambda _: SOURCES, "EUR", LABELS)
    assert files["charts"]["units_again"]["uuid"] == made
    assert not is_derived(made)
    assert is_derived(derived_id("charts", "units"))
    again = to_bundle(files, SOURCES, PLACE, LABELS)
    assert again["charts/units_again.yaml"]["uuid"] == made


def test_only_files_that_differ_are_written(tmp_path):
    assert len(write_files(FILES, tmp_path)) == len(list(tmp_path.rglob("*.yaml")))
    assert write_files(FILES, tmp_path) == []
    fewer = {**FILES, "charts": {n: c for n, c in FILES["charts"].items() if n != "units"}}
    assert write_files(fewer, tmp_path) == [tmp_path / "charts" / "units.yaml"]
    assert not (tmp_path / "charts" / "units.yaml").exists()


def placed(files, *, tab="Products"):
    """The files with a chart of its own place, on a tab that is there."""
    made = copy.deepcopy(files)
    place = {"dashboard": "shop_analytics", "tab": tab, "height": 40}
    made["charts"]["units"]["place"] = place
    row = {"row": [{"chart": "units", "width": 12, "height": 40}]}
    tabs = tabs_in(made["dashboards"]["shop_analytics"])
    for one in tabs:
        for held in one["holds"]:
            held["row"] = [node for node in held["row"] if node.get("chart") != "units"]
    next(one for one in tabs if one["tab"] == tab)["holds"].append(row)
    return made


def test_chart_with_a_place_is_the_last_row_of_its_tab_and_in_no_other_file(tmp_path):
    files = placed(FILES)
    write_files(files, tmp_path)
    assert "units" not in (tmp_path / "dashboards" / "shop_analytics.yaml").read_text()
    assert read_files(tmp_path) == files
    assert to_texts(back(files)) == to_texts(files)


def test_chart_that_was_moved_in_the_browser_has_no_place_any_more():
    moved = placed(FILES)
    tabs = tabs_in(moved["dashboards"]["shop_analytics"])
    [products] = [tab for tab in tabs if tab["tab"] == "Products"]
    row = products["holds"].pop()
    tabs[0]["holds"].append(row)
    texts = to_texts(moved)
    assert "place:" not in texts["charts/units.yaml"]
    assert "chart: units" in texts["dashboards/shop_analytics.yaml"]


@pytest.mark.parametrize("place", [{"tab": "Nowhere"}, {"dashboard": "nothing"}])
def test_place_that_is_not_there_is_refused(tmp_path, place):
    write_files(placed(FILES), tmp_path)
    file = tmp_path / "charts" / "units.yaml"
    content = yaml.safe_load(file.read_text())
    content["place"] |= place
    file.write_text(to_text(content))
    with pytest.raises(StopPipelineError, match=r"charts/units\.yaml refers to a tab"):
        read_files(tmp_path)


def test_charts_of_absent_entities_say_so_and_an_export_has_them_again() -> None:
    assert absent_charts() == frozenset()
    absent = {chart for charts in CHARTS.values() for chart in charts}
    assert absent <= FILES["charts"].keys()
    assert "refund_share" in CHARTS["payments"]
    assert "lost_orders" not in absent
    french = read_labels("fr", "Europe/Paris")
    shown = without_absent(FILES, french, absent)
    drawn = {
        chart for board in shown["dashboards"].values() for chart in charts_in(board["layout"])
    }
    assert not drawn & absent
    bundle = yaml.safe_dump(to_bundle(shown, SOURCES, PLACE, french), allow_unicode=True)
    assert "**Valeur du stock**" in bundle
    assert "Non connecté" in bundle
    assert with_absent(shown, french, absent) == FILES


def test_each_brand_has_the_colour_of_its_category():
    """Superset colours a label by when it comes, which a filter changes."""
    colours = FILES["dashboards"]["shop_analytics"]["metadata"]["label_colors"]
    with (ROOT / "producers/data/categories.csv").open() as file:
        for row in csv.DictReader(file):
            shown = {colours[name] for name in (row["category"], *row["brands"].split("|"))}
            assert len(shown) == 1, row["category"]
