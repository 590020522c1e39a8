"""Whatever happened in the shop, reconcile finds nothing wrong, and finds each fault planted."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.unit.reconcile_model import (
    KEYLESS,
    TABLE,
    UNVERSIONED,
    faults,
    reconcile,
    shops,
    spread,
    with_snapshot,
)

PLAIN = ("write", "write", "write", "delete")
SLICES = st.sampled_from([1, 3])
# An example costs some ten milliseconds, on a busy machine several times that.
patient = settings(
    max_examples=settings.default.max_examples // 7,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


def draw_change(data, shop, wanted):
    candidates = [c for c in shop.changes if shop.is_seen(c) and wanted(c)]
    assume(candidates)
    return data.draw(st.sampled_from(candidates))


def is_last(shop, change):
    return shop.of(change.key)[-1] == change


@pytest.mark.parametrize("table", [TABLE, UNVERSIONED], ids=["versioned", "not versioned"])
@patient
@given(shop=shops(), slices=SLICES)
def test_bronze_that_holds_every_change_is_exact(table, shop, slices):
    found = reconcile(shop, table=table, slices=slices)
    assert faults(found) == ({}, set())
    assert found.source_rows == found.bronze_rows == len(shop.rows)


@patient
@given(shop=shops(actions=(*PLAIN, "move")), data=st.data())
def test_what_the_snapshot_does_not_see_does_not_count(shop, data):
    unseen = [c for c in shop.changes if not shop.is_seen(c)]
    assume(unseen)
    gone = data.draw(st.lists(st.sampled_from(unseen), min_size=1, unique=True))
    assert faults(reconcile(shop.without(*gone))) == ({}, set())


@patient
@given(shop=shops(actions=PLAIN), data=st.data(), slices=SLICES)
def test_lost_change_is_a_missing_version(shop, data, slices):
    change = draw_change(data, shop, lambda c: c.op in "cu")
    expected = {"missing_versions": 1}
    if is_last(shop, change):
        expected["missing" if change.op == "c" else "different"] = 1
    found = reconcile(shop.without(change), slices=slices)
    assert faults(found) == (expected, {str(change.key)})


@patient
@given(shop=shops(actions=PLAIN), data=st.data())
def test_lost_delete_leaves_an_extra_row_or_a_life_without_an_end(shop, data):
    change = draw_change(data, shop, lambda c: c.op == "d")
    expected = {"extra": 1} if is_last(shop, change) else {"missing_deletes": 1}
    assert faults(reconcile(shop.without(change))) == (expected, {str(change.key)})


@patient
@given(shop=shops(), data=st.data())
def test_any_single_lost_change_of_a_plain_life_is_noticed(shop, data):
    change = draw_change(data, shop, lambda c: c.op in "cud")
    # A snapshot of Debezium's that read the row again has told the same version.
    assume(not any(c.op == "r" and c.key == change.key for c in shop.changes))
    found, keys = faults(reconcile(shop.without(change)))
    assert found
    assert keys == {str(change.key)}


@patient
@given(shop=shops(actions=PLAIN), data=st.data(), slices=SLICES)
def test_lost_row_is_missing_with_all_its_versions(shop, data, slices):
    assume(shop.rows)
    key = data.draw(st.sampled_from(sorted(shop.rows)))
    gone = [c for c in shop.changes if c.key == key]
    found = reconcile(shop.without(*gone), slices=slices)
    expected = {"missing": 1, "missing_versions": shop.rows[key][1]}
    assert faults(found) == (expected, {str(key)})


@patient
@given(shop=shops(), data=st.data(), slices=SLICES)
def test_record_that_landed_twice_is_a_duplicate(shop, data, slices):
    change = draw_change(data, shop, lambda _: True)
    assert faults(reconcile(shop.plus(change), slices=slices)) == (
        {"duplicates": 1},
        {str(change.key)},
    )


@patient
@given(shop=shops(), data=st.data())
def test_change_that_was_sent_twice_is_a_duplicate(shop, data):
    change = draw_change(data, shop, lambda c: c.op != "r")
    again = replace(change, offset=1_000)
    assert faults(reconcile(shop.plus(again))) == ({"duplicates": 1}, {str(change.key)})


@patient
@given(shop=shops(actions=PLAIN), data=st.data())
def test_version_that_two_changes_bear_is_a_duplicate(shop, data):
    change = draw_change(data, shop, lambda c: c.op == "u" and is_last(shop, c))
    again = replace(change, offset=1_000, lsn=9_999)
    assert faults(reconcile(shop.plus(again))) == ({"duplicates": 1}, {str(change.key)})


@patient
@given(shop=shops(actions=(*PLAIN, "move")), data=st.data(), slices=SLICES)
def test_altered_value_is_different_and_its_column_is_named(shop, data, slices):
    change = draw_change(data, shop, lambda c: c.op != "d" and is_last(shop, c))
    altered = shop.without(change).plus(replace(change, value="something else"))
    found = reconcile(altered, slices=slices)
    assert faults(found)[0] == {"different": 1}
    assert found.different.examples == (f"{change.key} (v)",)


@patient
@given(shop=shops(), data=st.data())
def test_row_that_the_shop_never_had_is_extra(shop, data):
    seen = draw_change(data, shop, lambda _: True)
    intruder = replace(seen, key=99, op="c", version=1, offset=1_000, lsn=9_999, is_rekeyed=False)
    assert faults(reconcile(shop.plus(intruder))) == ({"extra": 1}, {"99"})


@patient
@given(shop=shops(actions=PLAIN), data=st.data())
def test_without_versions_a_lost_beginning_is_still_noticed(shop, data):
    change = draw_change(data, shop, lambda c: c.op == "c")
    found, keys = faults(reconcile(shop.without(change), table=UNVERSIONED))
    assert found["missing_versions"] == 1
    assert keys == {str(change.key)}


@patient
@given(shop=shops(actions=(*PLAIN, "move")), slices=SLICES)
def test_table_without_a_key_is_counted_row_by_row(shop, slices):
    found = reconcile(shop, table=KEYLESS, slices=slices)
    assert faults(found) == ({}, set())
    assert found.source_rows == found.bronze_rows == len(shop.rows)


@patient
@given(shop=shops(actions=(*PLAIN, "move")), data=st.data(), slices=SLICES)
def test_table_without_a_key_is_exact_after_another_snapshot(shop, data, slices):
    """Whatever positions in the log the changes have, as those of another server."""
    again = with_snapshot(data.draw, shop)
    assert faults(reconcile(again, table=KEYLESS, slices=slices)) == ({}, set())


@patient
@given(shop=shops(actions=PLAIN), data=st.data(), slices=SLICES)
def test_without_a_key_a_lost_change_is_noticed(shop, data, slices):
    change = draw_change(data, shop, lambda c: c.op in "cud")
    found = reconcile(shop.without(change), table=KEYLESS, slices=slices)
    # What a later change takes away never came, then: a row too few, not one missing.
    expected = {"c": (1, 0), "u": (1, 1), "d": (0, 1)}[change.op]
    assert found.missing.count - found.extra.count == expected[0] - expected[1]
    assert not found.is_exact


@patient
@given(shop=shops(actions=PLAIN), data=st.data())
def test_without_a_key_a_record_that_landed_twice_is_a_duplicate(shop, data):
    change = draw_change(data, shop, lambda _: True)
    assert faults(reconcile(shop.plus(change), table=KEYLESS))[0] == {"duplicates": 1}


OF_VERSIONS = {"missing_versions", "missing_deletes", "duplicates"}


@pytest.mark.parametrize("table", [TABLE, UNVERSIONED], ids=["versioned", "not versioned"])
@patient
@given(shop=shops(), data=st.data())
def test_change_of_the_primary_key_hides_no_version_and_ends_exact_once_extracted(
    table, shop, data
):
    moved = spread(data.draw, shop)
    found = reconcile(moved, table=table)
    assert not OF_VERSIONS & set(faults(found)[0])
    # A row that was read behind the snapshot counts if no unseen change of it came before.
    more = found.changes - sum(map(moved.is_seen, moved.changes))
    assert 0 <= more <= sum(c.op == "r" and not moved.is_seen(c) for c in moved.changes)
    seen = replace(moved, changes=tuple(filter(moved.is_seen, moved.changes)))
    extracted = seen.plus(*_extracted(seen))
    assert faults(reconcile(extracted, table=table)) == ({}, set())


@patient
@given(shop=shops(actions=PLAIN), data=st.data())
def test_lost_version_is_noticed_though_the_primary_key_was_changed(shop, data):
    moved = spread(data.draw, shop)
    change = draw_change(data, moved, lambda c: c.op in "cu")
    found, _ = faults(reconcile(moved.without(change)))
    assert found["missing_versions"] == 1


def _extracted(shop):
    """What an extraction writes, behind everything: reads, and deletes of keys that are gone."""
    last = {c.key: c for c in sorted(shop.changes, key=lambda c: (c.offset, c.partition))}
    xid = max((c.xid for c in shop.changes), default=0)
    for number, change in enumerate(last.values(), start=100):
        at = {"offset": number, "lsn": 2_000 + number, "commit": 0, "xid": xid}
        if change.key in shop.rows:
            value, version = shop.rows[change.key]
            yield replace(change, op="r", value=value, version=version, is_rekeyed=False, **at)
        elif change.op != "d":
            told = {"old_value": change.value, "old_version": change.version}
            yield replace(change, op="d", synthetic="extract", is_rekeyed=False, **told, **at)
