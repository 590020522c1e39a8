"""A replay into silver, on Delta tables in a folder: it proves itself, and it repairs."""

import contextlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch.silver.bronze import BronzeSource
from batch.silver.rebuild import rebuild_silver
from batch.silver.revalidated import Revalidated
from batch.silver.run import SilverRules, chosen_entities, consolidate_silver
from batch.silver.sizes import BatchLimits
from lakehouse.cleaning import spelling, typed
from lakehouse.contracts import ENTITIES
from lakehouse.errors import RetryLaterError
from lakehouse.offsets import OffsetRange
from lakehouse.selection import Selection
from replay.chosen import choose
from replay.silver import SilverReplayer
from tests.unit.bronze_maker import RULES, customers, live, new_lake, order_lines, rows_of
from tests.unit.clusters import Gone, Here
from tests.unit.test_silver_tables import contents, happen, steps

CUSTOMERS = ENTITIES["customers"]
TABLES = ("enriched_users", "users_history", "quarantine")
SCRIPT = [
    (1, "name", 1), (2, "bad mail", 1), (1, "mail", 2), (3, "name", 1), (3, "delete", 0),
    (4, "far birth", 1), (4, "name", 3), (1, "untold", 1),
]  # fmt: skip


def consolidate(lake):
    return consolidate_silver(lake, RULES, chosen_entities(["customers"]))


def ends(lake, entity=CUSTOMERS):
    return BronzeSource(lake.open("bronze", entity.bronze)).ends


def everything(lake, entity=CUSTOMERS):
    return {
        partition: OffsetRange(start=0, stop=end) for partition, end in ends(lake, entity).items()
    }


def replayer(lake, folder, *, ranges=None, entity=CUSTOMERS, rows=1000, **options):
    return SilverReplayer(
        lake=lake,
        rules=replace(RULES, batch=BatchLimits(records=rows)),
        entity=entity,
        ranges=everything(lake, entity) if ranges is None else ranges,
        folder=Path(folder) / "replay",
        alone=contextlib.nullcontext,
        **options,
    )


def versions(lake):
    return {name: lake.open("silver", name).version() for name in TABLES}


def damage(lake, what):
    """Rows of silver that no change has made so."""
    delta = lake.open("silver", "enriched_users")
    rows = pl.DataFrame(delta.to_pyarrow_table())
    if what == "lost":
        delta.delete("customer_id = 1")
    elif what == "other":
        delta.update(updates={"city": "'Nowhere'"}, predicate="customer_id = 1")
    elif what == "made up":
        write_deltalake(
            delta, rows.head(1).with_columns(customer_id=pl.lit(77)).to_arrow(), mode="append"
        )
    elif what == "doubled":
        write_deltalake(delta, rows.to_arrow(), mode="append")
    elif what == "history":
        lake.open("silver", "users_history").delete("customer_id = 1")
    elif what == "quarantine":
        lake.open("silver", "quarantine").delete("entity = 'customers'")


@pytest.mark.parametrize("rows", [1000, 2])
def test_replay_of_all_that_is_right_writes_nothing_and_its_digests_are_equal(tmp_path, rows):
    lake = new_lake(tmp_path)
    happen(customers(lake), SCRIPT).land()
    consolidate(lake)
    before, was = versions(lake), contents(lake)
    done = replayer(lake, tmp_path, rows=rows).run()
    assert done.keys is None
    assert done.read == len(SCRIPT)
    assert versions(lake) == before
    assert contents(lake) == was
    names = ["quarantine of customers", "users_history", "enriched_users"]
    assert [proof.table for proof in done.diffs] == names
    assert all(proof.before == proof.after for proof in done.diffs)
    assert [proof.after.rows for proof in done.diffs] == [3, 5, 2]


@pytest.mark.parametrize(("what", "rows"), [
    ("lost", 1000), ("other", 2), ("made up", 1000), ("doubled", 2), ("history", 1000),
    ("quarantine", 2),
    *(
        pytest.param(*case, marks=pytest.mark.long)
        for case in (
            ("lost", 2), ("other", 1000), ("made up", 2), ("doubled", 1000), ("history", 2),
            ("quarantine", 1000),
        )
    ),
])  # fmt: skip
def test_replay_of_all_repairs_what_was_damaged_and_says_what(tmp_path, what, rows):
    lake = new_lake(tmp_path)
    happen(customers(lake), SCRIPT).land()
    consolidate(lake)
    was = contents(lake)
    damage(lake, what)
    assert contents(lake) != was
    done = replayer(lake, tmp_path, rows=rows).run()
    assert contents(lake) == was
    differing = [proof for proof in done.diffs if proof.before != proof.after]
    assert len(differing) == 1
    assert sum(r.read for r in consolidate(lake)) == 0


WHATS = ("nothing", "lost", "other", "made up", "doubled", "history", "quarantine")


@settings(max_examples=max(2, settings.default.max_examples // 25))
@given(script=steps.filter(lambda script: script[0][1] != "delete"), what=st.sampled_from(WHATS),
       seed=st.integers(0, 99), rows=st.integers(1, 4),
       start=st.none() | st.integers(0, 3))  # fmt: skip
@example(script=SCRIPT, what="doubled", seed=1, rows=2, start=None)
@example(script=SCRIPT, what="doubled", seed=1, rows=2, start=1)
@example(script=SCRIPT, what="other", seed=2, rows=3, start=0)
@example(script=SCRIPT, what="made up", seed=3, rows=1, start=2)
@example(script=SCRIPT, what="nothing", seed=4, rows=2, start=None)
# No row was written by the only change of the range.
@example(script=[(1, "name", 1), (1, "bad mail", 2)], what="other", seed=5, rows=1, start=1)
def test_a_distributed_replay_does_what_that_of_one_machine_does(script, what, seed, rows, start):
    done, after, made = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        first = new_lake(root / "here")
        happen(customers(first), script).land()
        consolidate(first)
        damage(first, what)
        shutil.copytree(root / "here", root / "spark")
        for lake, cluster in ((first, None), (new_lake(root / "spark"), Here(seed))):
            before = versions(lake)
            ranges = {
                p: OffsetRange(start=0 if start is None else min(start, r.stop), stop=r.stop)
                for p, r in everything(lake).items()
            }
            work = replayer(lake, root / "work", ranges=ranges, rows=rows, cluster=cluster)
            done.append(as_told(work.run()))
            after.append(contents(lake))
            made.append({name: versions(lake)[name] - before[name] for name in TABLES})
            shutil.rmtree(work.folder)
    assert done[0] == done[1]
    assert after[0] == after[1]
    assert made[0] == made[1]


def as_told(done):
    """All but the examples, which are in no order."""
    diffs = [
        (one.table, one.before, one.after, one.differences.added, one.differences.changed,
         one.differences.removed, len(one.differences.examples))
        for one in done.diffs
    ]  # fmt: skip
    return replace(done, diffs=()), diffs


def test_a_replay_of_one_batch_is_for_this_machine_and_a_cluster_that_fails_changes_nothing(
    tmp_path,
):
    lake = new_lake(tmp_path)
    happen(customers(lake), SCRIPT).land()
    consolidate(lake)
    damage(lake, "lost")
    before = versions(lake)
    with pytest.raises(RetryLaterError, match="gone"):
        replayer(lake, tmp_path, rows=2, cluster=Gone()).run()
    assert versions(lake) == before
    assert replayer(lake, tmp_path, cluster=Gone()).run().diffs[-1].differences.added == 1


def test_differences_name_the_key_the_column_and_both_values(tmp_path):
    lake = new_lake(tmp_path)
    happen(customers(lake), SCRIPT).land()
    consolidate(lake)
    damage(lake, "other")
    current = replayer(lake, tmp_path).run().diffs[-1]
    (example,) = current.differences.examples
    assert (example.kind, example.key) == ("changed", {"customer_id": 1})
    assert example.columns == {"city": ("Nowhere", "London")}


def test_consolidation_counts_quarantined_changes_by_rule(tmp_path):
    lake = new_lake(tmp_path)
    source = customers(lake).change(1, "c")
    source.change(2, "c", created_at="0000-12-31T23:00:00.000000Z", email="none")
    source.change(3, "c", email="none").land()
    (report,) = consolidate_silver(lake, RULES, [CUSTOMERS])
    assert report.quarantined == 2
    assert report.rules == {"email_invalid": 2, "created_at_out_of_range": 1}


def test_row_that_an_older_rule_let_in_is_taken_out_though_python_cannot_say_it(
    tmp_path, monkeypatch
):
    lake = new_lake(tmp_path)
    source = customers(lake).change(1, "c")
    source.change(2, "c", created_at="0000-12-31T23:00:00.000000Z").land()
    with monkeypatch.context() as patch:
        patch.setattr(typed, "_held", lambda instant: instant.dt.replace_time_zone("UTC"))
        older = SilverRules(
            time_zone=RULES.time_zone, retention_hours=RULES.retention_hours, batch=RULES.batch
        )
        assert consolidate_silver(lake, older, [CUSTOMERS])[0].quarantined == 0
    *_, current = replayer(lake, tmp_path).run().diffs
    (example,) = current.differences.examples
    assert (example.kind, example.key) == ("removed", {"customer_id": 2})
    assert [row["customer_id"] for row in live(lake, CUSTOMERS.silver)] == [1]
    (quarantined,) = rows_of(lake, "quarantine")
    assert quarantined["rule"] == "created_at_out_of_range"


@settings(max_examples=settings.default.max_examples // 25)
@example(scripts=[[(1, "delete", 0)]], starts=(0, 0), length=0, rows=2)
@given(
    scripts=st.lists(steps, min_size=1, max_size=3),
    starts=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    length=st.integers(0, 5),
    rows=st.sampled_from([2, 1000]),
)
def test_replay_of_any_range_with_another_rule_equals_a_rebuild_with_it(
    scripts, starts, length, rows
):
    with tempfile.TemporaryDirectory() as folder:
        lake, other = new_lake(Path(folder) / "a"), new_lake(Path(folder) / "b")
        for one in (lake, other):
            source = customers(one)
            for script in scripts:
                happen(source, script).land()
                consolidate(one)
        ranges = {
            partition: OffsetRange(start=min(start, end), stop=min(start + length, end))
            for (partition, end), start in zip(sorted(ends(lake).items()), starts, strict=False)
        }
        keys = set(BronzeSource(lake.open("bronze", CUSTOMERS.bronze)).keys(ranges))
        before = contents(lake)
        with pytest.MonkeyPatch.context() as patch:
            # From now on no address is any good.
            patch.setattr(spelling, "email", lambda _: None)
            replayer(lake, folder, ranges=ranges, rows=rows).run()
            rebuild_silver(other, RULES, [CUSTOMERS])
        ids = {int(key.split(b":")[1].strip(b" }")) for key in keys}
        for name in TABLES:
            assert of(rows_of(lake, name), ids, name) == of(rows_of(other, name), ids, name)
            assert of(rows_of(lake, name), ids, name, not_in=True) == of(
                before[name], ids, name, not_in=True
            )


def of(rows, ids, table, *, not_in=False):
    column = "row_key" if table == "quarantine" else "customer_id"
    return [row for row in rows if (int(row[column]) in ids) != not_in]


def test_range_of_a_replay_that_was_interrupted_on_spark_is_kept_and_told(tmp_path):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), SCRIPT).land()
    consolidate(lake)
    was = everything(lake)
    first = replayer(lake, tmp_path, rows=2, cluster=Gone())
    with pytest.raises(RetryLaterError, match="gone"):
        first.run()
    source.change(2, "u", city="Rome").land()
    consolidate(lake)
    assert everything(lake) != was
    done = replayer(lake, tmp_path, rows=2, cluster=Here()).run()
    assert (done.went_on, done.ranges) == (True, was)
    shutil.rmtree(first.folder)
    assert not replayer(lake, tmp_path, rows=2, cluster=Here()).run().went_on


@pytest.mark.parametrize("moment", range(1, 4))
def test_replay_that_was_killed_continues_where_it_stopped(tmp_path, monkeypatch, moment):
    lake = new_lake(tmp_path)
    happen(customers(lake), SCRIPT).land()
    consolidate(lake)
    was = contents(lake)
    damage(lake, "other")
    batches = []
    original = Revalidated.spill

    def dying(revalidated, bronze, ranges, *, batch):
        if len(batches) == moment:
            raise KeyboardInterrupt
        batches.append(ranges)
        return original(revalidated, bronze, ranges, batch=batch)

    with monkeypatch.context() as patch:
        patch.setattr(Revalidated, "spill", dying)
        with pytest.raises(KeyboardInterrupt):
            replayer(lake, tmp_path, rows=2).run()
    first = list(batches)
    batches.clear()

    def watching(revalidated, bronze, ranges, *, batch):
        batches.append(ranges)
        return original(revalidated, bronze, ranges, batch=batch)

    monkeypatch.setattr(Revalidated, "spill", watching)
    done = replayer(lake, tmp_path, rows=2).run()
    assert contents(lake) == was
    assert done.read == len(SCRIPT)
    assert (done.went_on, done.ranges) == (True, everything(lake))
    offsets = [
        (partition, offset)
        for ranges in (*first, *batches)
        for partition, offsets in ranges.items()
        for offset in range(offsets.start, offsets.stop)
    ]
    assert len(offsets) == len(set(offsets)) == len(SCRIPT)


def test_range_that_has_grown_while_a_replay_was_interrupted_is_the_one_that_it_began_with(
    tmp_path, monkeypatch
):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), SCRIPT).land()
    consolidate(lake)
    ranges = {partition: OffsetRange(start=2, stop=end) for partition, end in ends(lake).items()}

    def dying(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SilverReplayer, "_replaced", dying)
        with pytest.raises(KeyboardInterrupt):
            replayer(lake, tmp_path, ranges=ranges, rows=2).run()
    happen(source, [(7, "name", 1), (8, "bad mail", 1), (1, "mail", 5)]).land()
    consolidate(lake)
    was = contents(lake)
    grown = {partition: OffsetRange(start=2, stop=end) for partition, end in ends(lake).items()}
    assert grown != ranges
    replayer(lake, tmp_path, ranges=grown, rows=2).run()
    assert contents(lake) == was


def test_files_of_a_batch_that_was_interrupted_are_not_taken_for_those_of_the_next(
    tmp_path, monkeypatch
):
    lake = new_lake(tmp_path)
    # What breaks a rule does not come first, so that the next try puts nothing into its place.
    script = [(1, "name", 1), (2, "name", 1), (2, "bad mail", 1), (1, "mail", 2)]
    happen(customers(lake), script).land()
    consolidate(lake)
    was = contents(lake)
    damage(lake, "quarantine")

    def dying(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("batch.silver.revalidated.write_json", dying)
        with pytest.raises(KeyboardInterrupt):
            replayer(lake, tmp_path, rows=1000).run()
    replayer(lake, tmp_path, rows=2).run()
    assert contents(lake) == was


def test_replay_whose_work_somebody_has_cleared_away_touches_nothing(tmp_path):
    lake = new_lake(tmp_path)
    happen(customers(lake), SCRIPT).land()
    consolidate(lake)
    was = contents(lake)

    def clear(what, _done, _total):
        if what.endswith("comparing"):
            for file in (tmp_path / "replay").iterdir():
                file.unlink()

    with pytest.raises(RetryLaterError, match="Run the same replay again"):
        replayer(lake, tmp_path, on_progress=clear).run()
    assert contents(lake) == was
    replayer(lake, tmp_path).run()
    assert contents(lake) == was


def test_records_without_a_key_keep_what_they_have_made(tmp_path):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), SCRIPT)
    source.record(5, b"no change")
    source.waiting[-1]["key"] = None
    source.record(6, b"neither")
    source.waiting[-1]["key"] = b"\xff"
    source.land()
    consolidate(lake)
    was = contents(lake)
    ranges = {coordinate: OffsetRange(start=1, stop=end) for coordinate, end in ends(lake).items()}
    done = replayer(lake, tmp_path, ranges=ranges).run()
    assert contents(lake) == was
    assert all(proof.before == proof.after for proof in done.diffs)
    selection = Selection(first={coordinate.partition: 1 for coordinate in ranges})
    chosen = choose(lake, CUSTOMERS, selection)
    assert set(chosen.keys()) <= {1, 2, 3, 4}


def test_changes_that_a_consolidation_takes_in_meanwhile_are_caught_up_with(tmp_path):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), SCRIPT).land()
    consolidate(lake)
    damage(lake, "other")

    def meanwhile(what, _done, _total):
        if what.endswith("comparing") and source.rows[1]["city"] != "Paris":
            source.change(1, "u", city="Paris").change(9, "c").land()
            consolidate(lake)

    ranges = {partition: OffsetRange(start=0, stop=1) for partition in ends(lake)}
    done = replayer(lake, tmp_path, ranges=ranges, on_progress=meanwhile).run()
    assert done.keys == 2
    found = {row["customer_id"]: row["city"] for row in live(lake, "enriched_users")}
    assert found == {1: "Paris", 9: "London"}
    hourly = contents(lake)
    rebuild_silver(lake, RULES, [CUSTOMERS])
    assert contents(lake) == hourly


def test_row_of_a_key_that_bronze_no_longer_has_in_the_range_goes(tmp_path):
    # A key that nobody ever had, in what was damaged in bronze, had made a row.
    lake = new_lake(tmp_path)
    happen(customers(lake), SCRIPT).land()
    consolidate(lake)
    was = contents(lake)
    damage(lake, "made up")
    coordinate = max(ends(lake))
    offset = next(r["_offset"] for r in rows_of(lake, "enriched_users") if r["customer_id"] == 77)
    found = rows_of(lake, "enriched_users")
    partition = next(r["_partition"] for r in found if r["customer_id"] == 77)
    ranges = {replace(coordinate, partition=partition): OffsetRange(start=offset, stop=offset + 1)}
    replayer(lake, tmp_path, ranges=ranges).run()
    assert contents(lake) == was


def swapped(source, offsets, *, keys_too):
    """Bronze with the value of another record at some offsets; the repaired table is put back."""
    delta = source.bronze()
    right = delta.to_pyarrow_table()
    rows = pl.DataFrame(right).sort("_partition", "_offset")
    taken = ["key", "value"] if keys_too else ["value"]
    other = rows.select(pl.col(taken).shift(1).over("_partition").name.suffix("_of_another"))
    is_hit = pl.col("_offset").is_in(offsets) & (pl.col("_offset") > 0)
    wrong = pl.concat([rows, other], how="horizontal").with_columns(
        pl.when(is_hit).then(f"{name}_of_another").otherwise(name).alias(name) for name in taken
    )
    put(delta, wrong.select(rows.columns).to_arrow().cast(right.schema))
    return right


def put(delta, rows):
    write_deltalake(delta, rows, mode="overwrite", schema_mode="overwrite")


@pytest.mark.parametrize("keys_too", [False, True])
def test_row_that_another_change_of_the_range_had_made_is_recreated_from_its_own(
    tmp_path, keys_too
):
    lake = new_lake(tmp_path)
    source = happen(customers(lake, partitions=1), [(n, "name", 1) for n in (2, 4, 6)]).land()
    right = swapped(source, [1], keys_too=keys_too)
    consolidate(lake)
    found = {row["customer_id"]: row["_offset"] for row in live(lake, "enriched_users")}
    assert found == {2: 1, 6: 2}
    put(source.bronze(), right)
    (partition,) = ends(lake)
    chosen = choose(lake, CUSTOMERS, Selection(first={0: 1}, last={0: 1}))
    assert set(chosen.keys()) == {2, 4}
    done = replayer(lake, tmp_path, ranges={partition: OffsetRange(start=1, stop=2)}).run()
    assert done.keys == 2
    found = {row["customer_id"]: row["_offset"] for row in live(lake, "enriched_users")}
    assert found == {2: 0, 4: 1, 6: 2}
    was = contents(lake)
    rebuild_silver(lake, RULES, [CUSTOMERS])
    assert contents(lake) == was


@settings(max_examples=settings.default.max_examples // 25)
@given(
    script=steps,
    offsets=st.sets(st.integers(1, 6), min_size=1),
    keys_too=st.booleans(),
    rows=st.sampled_from([2, 1000]),
)
def test_replay_of_what_was_repaired_in_bronze_equals_a_rebuild(script, offsets, keys_too, rows):
    with tempfile.TemporaryDirectory() as folder:
        lake = new_lake(folder)
        source = happen(customers(lake), [(1, "name", 0), *script]).land()
        right = swapped(source, sorted(offsets), keys_too=keys_too)
        consolidate(lake)
        put(source.bronze(), right)
        ranges = {
            partition: OffsetRange(start=min(offsets), stop=min(max(offsets) + 1, end))
            for partition, end in ends(lake).items()
            if min(offsets) < end
        }
        replayer(lake, folder, ranges=ranges, rows=rows).run()
        was = contents(lake)
        rebuild_silver(lake, RULES, [CUSTOMERS])
        assert contents(lake) == was


def test_what_was_validated_of_bronze_before_it_was_repaired_is_validated_again(
    tmp_path, monkeypatch
):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), SCRIPT).land()
    consolidate(lake)
    was = contents(lake)
    right = swapped(source, [1, 2], keys_too=False)

    def dying(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SilverReplayer, "_replaced", dying)
        with pytest.raises(KeyboardInterrupt):
            replayer(lake, tmp_path, rows=2).run()
    put(source.bronze(), right)
    done = replayer(lake, tmp_path, rows=2).run()
    assert not done.went_on
    assert contents(lake) == was


@pytest.mark.parametrize("cluster", [None, Here()], ids=["here", "spark"])
@pytest.mark.parametrize("predicate", ["order_line_id = 3", "order_line_id < 4"])
def test_month_of_a_row_that_was_damaged_is_put_right_in_its_place(tmp_path, cluster, predicate):
    lake = new_lake(tmp_path)
    lines = order_lines(lake)
    for number in range(1, 5):
        lines.change(number, "c", created_at=f"2025-0{number}-05T08:00:00.000000Z")
    lines.land()
    entity = ENTITIES["order_lines"]
    consolidate_silver(lake, RULES, [entity])
    was = rows_of(lake, entity.silver)
    lake.open("silver", entity.silver).update(updates={"quantity": "7"}, predicate=predicate)
    done = replayer(lake, tmp_path, entity=entity, rows=2, cluster=cluster).run()
    assert rows_of(lake, entity.silver) == was
    assert len(lake.open("silver", entity.silver).partitions()) == 4
    changed = 1 if predicate.endswith("= 3") else 3
    assert [proof.differences.changed for proof in done.diffs] == [0, changed]
