"""What a lost slot took is accounted for where that was recorded and resolved, and nowhere else."""

from dataclasses import replace

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from batch.extraction.missed import find_missed, keys_only
from batch.reconcile.losses import ResolvedLoss, resolved
from batch.reconcile.visibility import Visibility
from lakehouse.lake import LOSS_LEDGER_SCHEMA
from tests.unit.reconcile_model import (
    TABLE,
    UNVERSIONED,
    Change,
    csv,
    faults,
    reconcile,
    records,
    shops,
)

PLAIN = ("write", "write", "write", "delete")
SLICES = st.sampled_from([1, 3])
FAR = 10_000
patient = settings(
    max_examples=settings.default.max_examples // 12,
    suppress_health_check=[HealthCheck.filter_too_much],
)


@st.composite
def losses(draw):
    """A history of which the slot lost some transactions, read again in full at its end."""
    whole = draw(shops(actions=PLAIN))
    shop = whole.without(*(c for c in whole.changes if not whole.is_seen(c)))
    first = draw(st.integers(1, shop.seen_commits))
    stop = draw(st.integers(first, shop.seen_commits))
    kept = shop.without(*(c for c in shop.changes if first <= c.commit < stop))
    places = tuple(
        ResolvedLoss(
            topic_id="topic",
            partition=partition,
            first=1 + max([c.offset for c in kept.changes if is_at(c, partition, first)] or [-1]),
            last=FAR + 100,
        )
        for partition in (0, 1)
    )
    return Lost(shop=shop, kept=kept, places=places, first=first)


def is_at(change, partition, first):
    return change.partition == partition and change.commit < first


class Lost:
    def __init__(self, *, shop, kept, places, first):
        self.shop, self.kept, self.places, self.first = shop, kept, places, first

    def missed(self):
        found = find_missed(
            keys_only(TABLE),
            [csv(self.shop.rows)],
            records(self.kept.changes),
            self.kept.visibility,
            count=len(self.kept.changes),
        )
        assert found.living >= found.gone.height
        assert found.living <= len({c.key for c in self.kept.changes})
        return sorted(int(key) for key in found.gone["key"])

    def read_again(self):
        """What `extract --full` leaves: a row for each that lives, a delete for each that went."""
        more = [self.row(key, *row) for key, row in self.shop.rows.items()]
        more += [self.delete(key) for key in self.missed()]
        return self.kept.plus(*more)

    def row(self, key, value, version):
        return Change(
            commit=self.shop.seen_commits - 1, op="r", key=key, version=version, value=value,
            partition=key % 2, offset=FAR + key, lsn=FAR + key, xid=self.xid,
        )  # fmt: skip

    def delete(self, key):
        last = [c for c in self.kept.changes if c.key == key][-1]
        return replace(
            self.row(key, last.value, last.version),
            op="d",
            old_value=last.value,
            old_version=last.version,
        )

    @property
    def xid(self):
        """One that the snapshot sees."""
        running = self.shop.visibility.in_progress
        return next(x for x in range(self.shop.visibility.xmax - 1, 0, -1) if x not in running)


@patient
@given(lost=losses(), slices=SLICES)
@pytest.mark.parametrize("table", [TABLE, UNVERSIONED], ids=["versioned", "not versioned"])
def test_loss_that_was_recorded_and_mended_is_accounted_for(table, lost, slices):
    found = reconcile(lost.read_again(), table=table, slices=slices, losses=lost.places)
    assert faults(found) == ({}, set())


@patient
@given(lost=losses())
def test_without_the_record_the_same_holes_are_found(lost):
    excused = reconcile(lost.read_again(), losses=lost.places).excused
    found = reconcile(lost.read_again())
    assert found.missing_versions.count + found.missing_deletes.count >= excused
    assert found.excused == 0
    if excused:
        assert not found.is_exact


@patient
@given(lost=losses())
def test_loss_whose_table_was_not_read_again_in_full_is_found(lost):
    """The loss is recorded, and resolved up to a place at which no row had been read yet."""
    short = tuple(replace(partition, last=partition.first - 1) for partition in lost.places)
    with_record, without = (reconcile(lost.kept, losses=some) for some in (short, ()))
    assert with_record == without


@patient
@given(lost=losses(), data=st.data())
def test_hole_that_lies_elsewhere_is_still_found(lost, data):
    """Behind the first change after the loss, or before the last one ahead of it."""
    whole = lost.read_again()

    def is_elsewhere(change):
        of_key = [c for c in whole.changes if c.key == change.key]
        side = [c for c in of_key if (c.commit < lost.first) == (change.commit < lost.first)]
        is_next_to_it = change == (side[-1] if change.commit < lost.first else side[0])
        return change.op in "cu" and not is_next_to_it

    candidates = [c for c in lost.kept.changes if is_elsewhere(c)]
    assume(candidates)
    gone = data.draw(st.sampled_from(candidates))
    # A row that is read again tells its version, so only one that another follows is missed.
    last = [c for c in lost.kept.changes if c.key == gone.key][-1]
    assume(gone != last)
    found = reconcile(whole.without(gone), losses=lost.places)
    assert found.missing_versions.count >= 1
    assert str(gone.key) in found.missing_versions.examples


@patient
@given(lost=losses())
def test_deletes_that_were_missed_are_found_and_no_other(lost):
    alive = {}
    for change in lost.kept.changes:
        alive[change.key] = change.op != "d"
    expected = sorted(key for key in alive if alive[key] and key not in lost.shop.rows)
    assert lost.missed() == expected


@patient
@given(shop=shops(), slices=SLICES)
def test_nothing_is_missed_where_nothing_was_lost(shop, slices):
    """Whatever the snapshot does not see yet: rows that came after it, and went."""
    found = find_missed(
        keys_only(TABLE), [csv(shop.rows)], records(shop.changes), shop.visibility, count=1
    )
    assert found.gone.is_empty()
    assert found.untold == ()
    alive = {change.key: change.op != "d" for change in shop.changes}
    assert found.living == sum(alive.values())


@st.composite
def truncates(draw):
    """A history in which a truncate was not told now and then; keys may come again, or not."""
    whole = draw(shops(actions=(*PLAIN, "truncate")))
    return whole.without(*(c for c in whole.changes if not whole.is_seen(c)))


def extracted(shop, table=TABLE):
    """What `extract --full` leaves, and what it has put on record."""
    found = find_missed(
        keys_only(table),
        [csv(shop.rows, table)],
        records(shop.changes),
        shop.visibility,
        count=len(shop.changes),
    )
    lost = Lost(shop=shop, kept=shop, places=(), first=0)
    places = tuple(
        ResolvedLoss(
            topic_id=one.topic_id, partition=one.partition, first=one.first, last=one.last,
            is_truncate=True,
        )
        for one in found.untold
    )  # fmt: skip
    return lost.read_again(), places


@patient
@given(shop=truncates(), slices=SLICES)
@pytest.mark.parametrize("table", [TABLE, UNVERSIONED], ids=["versioned", "not versioned"])
def test_truncate_that_nobody_told_is_named_and_one_extraction_accounts_for_it(table, shop, slices):
    before = reconcile(shop, table=table)
    assert faults(before)[0].keys() <= {"extra", "missing_deletes"}
    after, places = extracted(shop, table)
    found = reconcile(after, table=table, slices=slices, losses=places)
    assert faults(found) == ({}, set())
    assert found.excused == before.missing_deletes.count
    again = find_missed(
        keys_only(table), [csv(shop.rows, table)], records(after.changes), shop.visibility,
        count=1, losses=places,
    )  # fmt: skip
    assert (again.gone.height, again.untold) == (0, ())


@settings(patient, suppress_health_check=[HealthCheck.filter_too_much])
@given(shop=truncates(), data=st.data())
def test_truncate_on_record_excuses_no_change_that_is_missing_within_a_life(shop, data):
    after, places = extracted(shop)

    def is_within(change):
        of_key = [c for c in shop.changes if c.key == change.key]
        behind = of_key[of_key.index(change) + 1 :]
        return change.op == "u" and bool(behind) and behind[0].op in "ud"

    candidates = [c for c in shop.changes if is_within(c)]
    assume(candidates)
    gone = data.draw(st.sampled_from(candidates))
    found = reconcile(after.without(gone), losses=places)
    assert found.missing_versions.count == 1
    assert found.missing_versions.examples == (str(gone.key),)


def test_rows_that_one_truncate_ended_are_accounted_for_at_one_place_of_a_partition():
    told = [(1, "c", 0), (2, "c", 1), (3, "c", 2), (1, "c", 3), (2, "c", 4), (1, "c", 5)]
    changes = [
        Change(
            commit=offset, op=op, key=key, version=1, value="v", lsn=offset, xid=1, offset=offset
        )
        for key, op, offset in told
    ]
    found = find_missed(
        keys_only(TABLE), [csv({1: ("v", 1), 2: ("v", 1)})], records(changes),
        Visibility(xmax=9, in_progress=frozenset(), taken_us=0), count=1,
    )  # fmt: skip
    assert [(one.first, one.last) for one in found.untold] == [(3, 5), (5, 5)]
    assert found.gone["key"].to_list() == ["3"]


def ledger(*rows):
    names = ("kind", "topic_id", "partition", "first_offset", "last_offset")
    filled = [dict.fromkeys(LOSS_LEDGER_SCHEMA.names) | {"topic": "shop.public.orders"} | dict(
        zip(names, row, strict=True)) for row in rows]  # fmt: skip
    return pl.DataFrame(filled, schema=pl.Schema(LOSS_LEDGER_SCHEMA))


def test_only_a_loss_that_was_repaired_counts():
    lost = ("slot_lost", "id", 0, 10, None)
    assert resolved(ledger(lost)) == {}
    assert resolved(ledger(("read_again", "id", 0, 10, 20))) == {}
    assert resolved(ledger(lost, ("read_again", "id", 1, 10, 20))) == {}
    assert resolved(ledger(("expired", "id", 0, 10, 12), ("read_again", "id", 0, 10, 20))) == {}
    found = resolved(ledger(lost, ("read_again", "id", 0, 10, 20)))
    one = ResolvedLoss(topic_id="id", partition=0, first=10, last=20)
    assert found == {"shop.public.orders": (one,)}
    rows = [("truncated", "id", 0, 10, None), ("read_again", "id", 0, 10, 20)]
    assert resolved(ledger(*rows)) == {"shop.public.orders": (replace(one, is_truncate=True),)}
    assert resolved(ledger(rows[0])) == {}
