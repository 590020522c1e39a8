"""Live reads changes as silver does."""

from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.silver.tables import SilverTables
from consumers.live import service
from consumers.live.changes import ChangeReader
from lakehouse.contracts import ENTITIES, OnSchemaChange
from lakehouse.settings import ShopSettings
from tests.unit.bronze_maker import RULES, customers, new_lake, order_lines

NAMES = st.sampled_from(["Ada", "  ada ", "", "ADA", "é"])
EMAILS = st.sampled_from(["ada@example.com", "ADA@Example.com", "no mail", None])
STEPS = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from("cud"), NAMES, EMAILS), min_size=1, max_size=25
)


def reader_of(source):
    return ChangeReader(validator=RULES.validator(source.entity))


@settings(max_examples=settings.default.max_examples // 8)
@given(steps=STEPS)
def test_rows_are_those_of_silver(steps, tmp_path_factory):
    source = customers(new_lake(tmp_path_factory.mktemp("lake")))
    for key, op, name, email in steps:
        source.change(key, op, first_name=name, email=email)
    records = source.records()
    reader = reader_of(source)
    live = pl.DataFrame(reader.read(source.landing()).current, reader.columns, orient="row")

    tables = SilverTables(lake=source.lake, entity=source.entity, retention_hours=24)
    validated = RULES.validator(source.entity).validate(records, lambda _keys: records)
    silver = pl.DataFrame(tables.current_rows(validated.filter(pl.col("_broken").is_null())))
    names = [n for n in live.columns if n != "_is_deleted"]
    key = source.entity.key
    assert live.select(names).sort(key).rows() == silver.select(names).sort(key).rows()
    assert live.sort(key)["_is_deleted"].to_list() == (
        silver.sort(key)["_deleted_at"].is_not_null().to_list()
    )


def test_a_change_that_cannot_be_used_is_counted_and_leaves_the_last_one(tmp_path):
    source = order_lines(new_lake(tmp_path)).change(1, "c").change(1, "u", quantity=-4)
    source.record(2, b"not json")
    reader = reader_of(source)
    rows = reader.read(source.landing())
    assert rows.quarantined == 2
    (row,) = rows.current
    assert dict(zip(reader.columns, row, strict=True))["quantity"] == 2


def test_a_batch_without_a_valid_change_has_no_rows(tmp_path):
    source = order_lines(new_lake(tmp_path))
    source.record(2, b"not json")
    rows = reader_of(source).read(source.landing())
    assert not rows.current
    assert rows.committed_us is None


@pytest.mark.parametrize(
    ("policy", "changed"),
    [("on_removed", {"quantity": None}), ("on_retyped", {"quantity": "x2"})],
)
def test_a_table_that_the_contract_stops_stops_no_chart_of_another(
    policy, changed, tmp_path, monkeypatch
):
    source = order_lines(new_lake(tmp_path)).change(1, "c").change(1, "u", **changed)
    lines = replace(ENTITIES["order_lines"], **{policy: OnSchemaChange.STOP})
    monkeypatch.setattr(service, "ENTITIES", {"order_lines": lines})
    reader = service.change_readers(ShopSettings())["order_lines"]
    rows = reader.read(source.landing())
    assert rows.quarantined == 1
    (row,) = rows.current
    assert dict(zip(reader.columns, row, strict=True))["quantity"] == 2
