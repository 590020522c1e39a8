"""What silver has validated, as the warehouse reads it from the table of counts."""

from pathlib import Path

import pytest

from batch.silver.rebuild import rebuild_silver
from batch.silver.run import chosen_entities, consolidate_silver
from batch.warehouse.source import silver_sources
from batch.warehouse.validated import DeltaCounts, QuarantineLimit, Validated
from lakehouse.contracts.schemas import RULE_COUNTS
from lakehouse.errors import RetryLaterError
from lakehouse.maintenance import compact
from tests.unit.bronze_maker import RULES, customers, new_lake

CHOSEN = chosen_entities(["customers"])


@pytest.fixture
def lake(tmp_path):
    return new_lake(tmp_path)


@pytest.fixture
def source(lake):
    return customers(lake)


def apply(lake):
    consolidate_silver(lake, RULES, CHOSEN)


def counts(lake, **versions):
    return silver_sources(lake, versions=versions).counts


def test_there_are_none_before_silver_has_validated_anything(lake):
    assert counts(lake) is None


def test_sums_grow_with_each_run_whatever_was_repaired(lake, source):
    source.change(1, "c", first_name=" ada ").change(2, "c", email="x").land()
    apply(lake)
    assert counts(lake).sums() == Validated(seen=2, quarantined=1)
    source.change(3, "c", email="x", country="Narnia").change(1, "u").change(4, "c").land()
    apply(lake)
    assert counts(lake).sums() == Validated(seen=5, quarantined=2)


def test_neither_another_run_nor_a_rebuild_nor_maintenance_moves_the_sums(lake, source):
    for key in range(3):
        source.change(key, "c", email="x" if key else "ada@example.com").land()
        apply(lake)
    before = counts(lake).sums()
    apply(lake)
    rebuild_silver(lake, RULES, CHOSEN)
    table = lake.open("silver", RULE_COUNTS)
    files = len(table.file_uris())
    compact(table)
    table.create_checkpoint()
    table.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
    assert len(table.file_uris()) < files
    assert counts(lake).sums() == before == Validated(seen=3, quarantined=2)


def test_pinned_counts_do_not_see_what_came_later(lake, source):
    source.change(1, "c", email="x").land()
    apply(lake)
    pins = silver_sources(lake).versions
    source.change(2, "c").land()
    apply(lake)
    pinned = silver_sources(lake, versions=pins)
    assert pinned.versions == pins
    assert pinned.counts.sums() == Validated(seen=1, quarantined=1)


def test_counts_that_cannot_be_read_are_tried_again_later(lake, source):
    source.change(1, "c").land()
    apply(lake)
    table = lake.open("silver", RULE_COUNTS)
    for file in table.file_uris():
        Path(file).unlink()
    with pytest.raises(RetryLaterError, match="rule_counts/ cannot be read"):
        DeltaCounts(table).sums()


def test_nothing_seen_has_no_share():
    limit = QuarantineLimit(max_share=0.2, min_changes=3)
    assert limit.inputs(Validated())["quarantine_share"] is None
    assert limit.inputs(Validated(seen=4, quarantined=1)) == {
        "changes_seen": 4, "quarantine_share": 0.25, "max_quarantine_share": 0.2,
        "min_quarantine_changes": 3,
    }  # fmt: skip
