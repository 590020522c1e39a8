"""Handles of the lake's tables: kept ones follow their table, pinned ones do not move."""

import polars as pl
import pytest
from deltalake import write_deltalake

import lakehouse.lake
from batch.gold.run import consolidate_gold
from batch.silver.run import chosen_entities, consolidate_silver
from batch.warehouse.source import silver_sources
from lakehouse.errors import GoneError
from tests.unit.bronze_maker import RULES, customers, new_lake

ROWS = pl.DataFrame({"n": [1]}).to_arrow()


@pytest.fixture
def lake(tmp_path):
    return new_lake(tmp_path)


@pytest.fixture
def opened(monkeypatch):
    """The tables that were opened, not only followed, by name."""
    found = []
    for name in ("open_table", "open_or_create"):
        original = getattr(lakehouse.lake, name)

        def noted(uri, *options, original=original, **named):
            found.append(uri.rpartition("/")[2])
            return original(uri, *options, **named)

        monkeypatch.setattr(lakehouse.lake, name, noted)
    return found


def append(lake):
    write_deltalake(lake.uri("gold", "t"), ROWS, mode="append")


def test_kept_handle_is_opened_once_and_follows_its_table(lake, opened):
    kept = lake.keeping()
    assert kept.open("gold", "t") is None
    append(lake)
    first = kept.open("gold", "t")
    append(lake)
    assert (kept.keeping().open("gold", "t"), first.version()) == (first, 1)
    assert kept.open_or_create("gold", "t", ROWS.schema, properties={}) is first
    assert opened == ["t", "t"]
    assert lake.open("gold", "t") is not lake.open("gold", "t")


def test_created_table_is_kept(lake, opened):
    kept = lake.keeping()
    made = kept.open_or_create("gold", "t", ROWS.schema, properties={})
    assert kept.open("gold", "t") is made
    assert opened == ["t"]


def test_earlier_version_is_a_handle_of_its_own(lake):
    kept = lake.keeping()
    append(lake)
    append(lake)
    newest, earlier = kept.open("gold", "t"), kept.open("gold", "t", version=0)
    assert kept.open("gold", "t", version=1) is newest
    append(lake)
    kept.open("gold", "t")
    assert (newest.version(), earlier.version()) == (2, 0)
    with pytest.raises(GoneError):
        kept.open("gold", "t", version=7)


def test_handles_opened_afresh_move_none_that_are_kept(lake):
    kept = lake.keeping()
    append(lake)
    pinned = kept.open("gold", "t")
    append(lake)
    assert (kept.afresh().open("gold", "t").version(), pinned.version()) == (1, 0)


def test_steps_of_one_lake_open_each_table_once(lake, opened):
    customers(lake).change(1, "c").land()
    kept = lake.keeping()
    for _ in range(2):
        consolidate_silver(kept, RULES, chosen_entities(["customers"]))
        silver = silver_sources(kept)
        consolidate_gold(kept, retention_hours=1, pins=silver.versions)
    there = {name for name, table in silver.items()} | {"rule_counts", "quarantine", "raw_users"}
    counted = {name: opened.count(name) for name in there}
    assert counted == dict.fromkeys(there, 1)
