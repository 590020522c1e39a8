"""A shop's table that is an entity and has a derived contract, too: each reads its topic alone."""

import tempfile
from contextlib import nullcontext
from pathlib import Path

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.catalogue import LakeTable, lake_metrics
from batch.pipeline_run import PipelineRun
from batch.reconcile import silver as reconcile
from batch.reconcile.history import Examples
from batch.silver.bronze import BronzeSource
from batch.silver.rebuild import rebuild_silver
from batch.silver.run import consolidate_silver
from lakehouse.contracts.mapping import MappedEntity
from lakehouse.delta import scan
from lakehouse.offsets import up_to
from replay.silver import SilverReplayer
from stack.doctor import layers
from stack.findings import Verdict
from tests.unit.bronze_maker import RULES, new_lake, rows_of
from tests.unit.foreign_maker import catalog_row, contract_of, foreign
from tests.unit.other_shop import MAPPING, read_text

COLUMNS = {
    "state": "int4", "currency_code": "text", "total_minor": "int8", "tax_minor": "int8",
    "postcode": "text", "town": "text", "country_code": "text", "ordered_on": "timestamp",
}  # fmt: skip
ROW = {
    "state": 2, "currency_code": None, "total_minor": 1190, "tax_minor": 190,
    "postcode": "10115", "town": "Berlin", "country_code": "de",
    "ordered_on": 1_761_000_000_000_000,
}  # fmt: skip
DERIVED = contract_of([
    catalog_row("purchase", "id", "text", key=1),
    *(catalog_row("purchase", name, kind) for name, kind in COLUMNS.items()),
])  # fmt: skip
with tempfile.TemporaryDirectory() as made:
    MAPPED = read_text(Path(made)).entities["orders"]
BOTH = {"orders": MAPPED, "purchase": DERIVED}
UNREADABLE = b"{"


class Shop:
    """Its table of purchases, and silver's tables of it."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.lake = new_lake(folder)
        self.source = foreign(self.lake, DERIVED, ROW)
        self.happened = 0
        """Changes so far."""

    def change(self, state):
        """State 9 is none of the mapping's; without one, nobody can read the change."""
        self.happened += 1
        key = {"id": f"a{self.happened % 3}"}
        if state is None:
            self.source.keyed(key, UNREADABLE)
        else:
            self.source.change(key, "u" if orjson.dumps(key) in self.source.rows else "c",
                               state=state)  # fmt: skip
        self.source.land()

    def consolidate(self, *names):
        consolidate_silver(self.lake, RULES, [BOTH[name] for name in names])

    def rebuild(self, name):
        rebuild_silver(self.lake, RULES, [BOTH[name]])

    def replay(self, name):
        delta = self.lake.open("bronze", BOTH[name].bronze)
        if self.lake.open("silver", BOTH[name].silver) is None or delta is None:
            return
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            SilverReplayer(
                lake=self.lake, rules=RULES, entity=BOTH[name], folder=Path(folder),
                ranges=up_to(BronzeSource(delta).ends), alone=nullcontext,
            ).run()  # fmt: skip

    def counted(self):
        """The changes of each contract whose rules are counted: each counts once."""
        delta = self.lake.open("silver", "rule_counts")
        rows = scan(delta).filter(pl.col("outcome") == "seen").group_by("entity")
        rows = rows.agg(pl.col("changes").sum()).collect()
        return dict(rows.iter_rows())


@pytest.fixture(autouse=True)
def _contracts(monkeypatch):
    monkeypatch.setattr(reconcile, "contracts_of", lambda _lake: BOTH)
    monkeypatch.setattr("batch.catalogue.lake.ENTITIES", {"orders": MAPPED})
    monkeypatch.setattr(layers, "ENTITIES", {"orders": MAPPED})


@settings(max_examples=settings.default.max_examples // 10)
@given(st.lists(st.one_of(
    st.tuples(st.just("change"), st.sampled_from([1, 2, 9, None])),
    st.tuples(st.sampled_from(["consolidate", "rebuild", "replay"]), st.sampled_from(sorted(BOTH))),
), min_size=1, max_size=8))  # fmt: skip
def test_each_of_the_two_quarantines_and_counts_all_of_its_changes(script):
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(folder)
        shop.change(9)
        for action, what in script:
            getattr(shop, action)(what)
        shop.consolidate("orders", "purchase")
        found = {one.table: one.findings for one in reconcile.compare_silver(
            shop.lake, RULES, Examples())}  # fmt: skip
        assert {one.unaccounted.count for one in found.values()} == {0}
        assert {one.changes for name, one in found.items() if not name.endswith("history")} == {
            shop.happened
        }
        assert shop.counted() == dict.fromkeys(BOTH, shop.happened)


def test_what_was_consolidated_with_other_watermarks_is_read_again_once(tmp_path, monkeypatch):
    shop = Shop(tmp_path)
    shop.change(9)
    with monkeypatch.context() as before:
        before.setattr(MappedEntity, "reader", "")
        shop.consolidate("purchase", "orders")
    shop.change(9)
    run = PipelineRun(lake=shop.lake, rules=RULES, limit=None, warehouse="")
    monkeypatch.setattr("batch.pipeline_run.ENTITIES", BOTH)
    assert [run.silver([name])[0].read for name in ("orders", "orders", "purchase")] == [2, 0, 1]
    assert [row["entity"] for row in rows_of(shop.lake, "quarantine")] == ["orders", "orders"]
    shop.change(9)
    assert run.silver(["orders"])[0].read == 1


def test_changes_are_read_again_by_expressions_that_were_corrected(tmp_path, monkeypatch):
    shop = Shop(tmp_path)
    shop.change(9)
    run = PipelineRun(lake=shop.lake, rules=RULES, limit=None, warehouse="")
    contracts = dict(BOTH)
    monkeypatch.setattr("batch.pipeline_run.ENTITIES", contracts)
    monkeypatch.setattr(reconcile, "contracts_of", lambda _lake: contracts)
    run.silver(["orders", "purchase"])
    assert len(rows_of(shop.lake, "quarantine")) == 1
    corrected = MAPPING.replace('"4": cancelled', '"4": cancelled, "9": returned')
    contracts["orders"] = read_text(tmp_path, corrected).entities["orders"]
    assert [one.read for one in run.silver(["orders", "purchase"])] == [1, 0]
    assert rows_of(shop.lake, "quarantine") == []
    silver = rows_of(shop.lake, contracts["orders"].silver)
    assert [row["status"] for row in silver] == ["returned"]
    found = list(reconcile.compare_silver(shop.lake, RULES, Examples()))
    assert found
    assert all(one.findings.is_exact for one in found)
    moved = read_text(tmp_path, f"# a comment\n{corrected}").entities["orders"]
    assert moved.reader == contracts["orders"].reader
    contracts["orders"] = MAPPED
    assert [one.read for one in run.silver(["orders", "purchase"])] == [1, 0]
    assert len(rows_of(shop.lake, "quarantine")) == 1
    assert rows_of(shop.lake, MAPPED.silver) == []


def test_doctor_compares_an_entity_with_its_own_watermarks(tmp_path):
    shop = Shop(tmp_path)
    shop.change(1)
    shop.consolidate("purchase")
    shop.change(9)
    shop.consolidate("orders")
    found = lake_metrics(shop.lake, ["bronze", "silver"])
    assert {one.verdict for one in layers.diagnose_silver(found, found)} == {Verdict.FINE}
    quarantine = next(one for one in found if one.table.name == "quarantine")
    assert quarantine.table == LakeTable(layer="silver", name="quarantine")
    assert quarantine.behind.count == 1, "of the derived contract"
    shop.consolidate("purchase")
    assert [row["entity"] for row in rows_of(shop.lake, "quarantine")] == ["orders"]
