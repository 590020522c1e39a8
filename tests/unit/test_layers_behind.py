"""How far each layer is behind the one below, as commands report it."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from batch.catalogue import (
    LayerBehind,
    Unit,
    bronze_behind,
    in_a_sentence,
    landed_behind,
)
from batch.catalogue import behind as catalogue_behind
from batch.catalogue.behind import layers_behind
from batch.pipeline_run import Consolidated
from batch.runs.tables import TableResult
from cli import consolidate
from cli.__main__ import app
from devtools.test_stack import free_ports
from lakehouse.layers import Layer
from lakehouse.offsets import count_missing
from tests.unit.lake_shop import add, lake_in, land, make_gold, silver_rows

LACKING = LayerBehind(layer="bronze", below="kafka", tables={"raw_sales": 26_000, "raw_users": 5})
LEVEL = LayerBehind(layer="bronze", below="kafka")
UNKNOWN = LayerBehind(layer="bronze", below="kafka", unknown="Kafka does not answer")


@pytest.mark.parametrize(
    ("one", "count", "text"),
    [
        (LACKING, 26_005,
         "bronze is 26,005 offsets behind Kafka (raw_sales 26,000, raw_users 5)"),
        (LEVEL, 0, "bronze is up to date with Kafka"),
        (UNKNOWN, None, "how far bronze is behind Kafka is unknown: Kafka does not answer"),
        (LayerBehind(layer="gold", below="silver", unit=Unit.VERSIONS,
                     tables={"a": 2, "b": 3, "c": 1, "d": 1}), 3,
         "gold is 3 versions behind silver (b 3, a 2, c 1 and 1 more)"),
    ],
)  # fmt: skip
def test_layer_says_how_far_it_is_behind(one, count, text):
    assert (one.count, str(one)) == (count, text)
    assert json.loads(json.dumps(one.to_json()))["count"] == count


def test_sentence_names_those_that_lack_something_and_those_that_nobody_knows_of():
    assert in_a_sentence([LEVEL]) == "Each layer is up to date with the one below."
    told = in_a_sentence([LEVEL, LACKING, UNKNOWN])
    assert told.startswith("Bronze is 26,005 offsets behind Kafka")
    assert "unknown" in told
    assert "level" not in told


places = st.tuples(st.sampled_from("tu"), st.integers(0, 1), st.integers(0, 2))
watermarks = st.dictionaries(places, st.integers(0, 50))


@given(watermarks, watermarks)
def test_what_lies_between_two_watermarks_is_counted_once(below, own):
    offsets = {(partition, n) for partition, last in below.items() for n in range(last + 1)}
    offsets -= {(partition, n) for partition, last in own.items() for n in range(last + 1)}
    assert count_missing(below, own) == len(offsets)


def test_each_layer_lacks_what_the_one_below_has_more(tmp_path, monkeypatch):
    lake = lake_in(tmp_path)
    loaded = {}
    monkeypatch.setattr(catalogue_behind, "loaded_offsets", lambda _dsn: loaded)
    land(lake, 0, 9)
    # Nothing was consolidated yet: silver has none of it.
    assert [one.count for one in layers_behind(lake, "")] == [10, 0, 0]
    add(lake, silver_rows([1, 2]), read_to=4)
    make_gold(lake, 1)
    add(lake, silver_rows([3]), read_to=5)
    silver, warehouse, gold = layers_behind(lake, "")
    assert silver.tables == {"cleaned_sales": 4}
    assert warehouse.tables == {"orders": 6}
    assert (gold.unit, gold.count > 0) == (Unit.VERSIONS, True)


def test_what_has_not_landed_is_told_by_the_ends_of_kafka(tmp_path, monkeypatch):
    lake = lake_in(tmp_path)
    land(lake, 0, 9)
    topic = bronze_topic(lake)
    monkeypatch.setattr(
        catalogue_behind, "captured_ends", lambda *_, **__: {"raw_sales": {(topic, 0): 25}}
    )
    assert bronze_behind(lake, {}, "shop").tables == {"raw_sales": 15}


def bronze_topic(lake):
    (metrics,) = catalogue_behind.lake_metrics(lake, ["bronze"])
    return next(iter(metrics.offsets)).topic_id


def test_kafka_that_is_away_is_not_waited_for_and_said_so(tmp_path):
    kafka = {"bootstrap.servers": f"127.0.0.1:{free_ports(1)[0]}"}
    found = bronze_behind(lake_in(tmp_path), kafka, "shop", seconds=0.2)
    assert found.count is None
    assert "Kafka does not answer" in str(found)
    assert landed_behind({}, []) == {}


def row(read):
    return TableResult(
        layer=Layer.SILVER, table="cleaned_sales", read=read, cleaned=0, quarantined=0, merged=read,
        seconds=0.1,
    )  # fmt: skip


def finished(monkeypatch, read, behind):
    done = Consolidated(results=[row(read)])
    monkeypatch.setattr(consolidate, "consolidated", lambda *_, **__: done)
    monkeypatch.setattr(consolidate, "behind_each", lambda: [behind])


@pytest.mark.parametrize("read", [0, 7])
@pytest.mark.parametrize(
    ("behind", "words"),
    [
        (LACKING, "Bronze is 26,005 offsets behind Kafka"),
        (UNKNOWN, "unknown"),
        (LEVEL, "Each layer is up to date with the one below"),
    ],
)
def test_consolidation_says_what_it_cannot_have_seen(monkeypatch, capsys, read, behind, words):
    finished(monkeypatch, read, behind)
    done = CliRunner().invoke(app, ["consolidate"], catch_exceptions=False)
    assert done.exit_code == 0
    told = " ".join((done.stdout + capsys.readouterr().out).split())
    assert told.index(words) < max(told.find("Nothing new"), told.find("changes read"))
    document = CliRunner().invoke(app, ["consolidate", "--format", "json"])
    assert json.loads(document.stdout)["behind"] == [behind.to_json()]


def test_verdict_says_as_of_what_layers_are_exact():
    from tests.unit.test_reconcile_layers import WHOLE, report_of

    told = LayerBehind(layer="silver", below="bronze", tables={"cleaned_sales": 274_603})
    report = SimpleNamespace(**vars_of(report_of(*WHOLE)), behind=(told,))
    whole = type(report_of(*WHOLE))(**vars(report))
    assert whole.verdict().startswith("Silver is 274,603 offsets behind bronze")
    assert whole.to_json()["behind"][0]["count"] == 274_603


def vars_of(report):
    return {name: getattr(report, name) for name in type(report).__slots__ if name != "behind"}


def test_consolidation_names_the_rule_that_quarantined_most_and_what_shows_it(monkeypatch):
    rules = {("customers", "email_invalid"): 3, ("orders", "status_unknown"): 10_103}
    done = Consolidated(results=[row(7)], rules=rules)
    monkeypatch.setattr(consolidate, "consolidated", lambda *_, **__: done)
    monkeypatch.setattr(consolidate, "behind_each", lambda: [LEVEL])
    told = CliRunner().invoke(app, ["consolidate"], catch_exceptions=False).stdout
    assert "Most were quarantined by status_unknown of orders: 10,103" in told
    assert "./pipeline quarantine show --entity orders --rule status_unknown" in told
