"""Silver, on Delta tables in a folder: what lands in them, however it comes."""

import contextlib
import random
import tempfile
from collections import Counter
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, SchemaMismatchError
from hypothesis import given, settings
from hypothesis import strategies as st

import lakehouse.lake
from batch.quarantine import Selection
from batch.silver import bronze as bronze_reading
from batch.silver.bronze import BronzeSource
from batch.silver.commit import Merge, SilverTable, Write
from batch.silver.offsets import starting_position
from batch.silver.rebuild import rebuild_silver
from batch.silver.run import chosen_entities, consolidate_silver
from batch.silver.tables import SilverTables
from lakehouse.cleaning import envelope
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.keys import with_key_types
from lakehouse.contracts.model import Type
from lakehouse.errors import (
    DataRefusedError,
    RetryLaterError,
    StopPipelineError,
    WrongArgumentError,
)
from lakehouse.offsets import batches
from replay.redrive import redrive
from replay.silver import SilverReplayer
from tests.unit.bronze_maker import RULES, customers, live, new_lake, order_lines, rows_of

CUSTOMERS = ENTITIES["customers"]
TABLES = ("enriched_users", "users_history", "quarantine")
PLACEHOLDER = "__debezium_unavailable_value"
steps = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.sampled_from(["name", "name", "mail", "bad mail", "far birth", "untold", "delete"]),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=14,
)


def happen(source, script):
    """Turn a script into changes that a database could have made."""
    for key, what, number in script:
        exists = key in source.rows
        if what == "delete":
            if exists:
                source.change(key, "d")
            continue
        values = {
            "name": {"first_name": f" name {number}"},
            "mail": {"email": f"N{number}@Example.com"},
            "bad mail": {"email": f"nobody{number}"},
            "clean": {"phone": "+442079460958"},
            "far birth": {"birth_date": 90_000 + number},
            "untold": {"street": PLACEHOLDER} if exists else {},
        }[what]
        source.change(key, "u" if exists else "c", **values)
        if what == "untold" and exists:
            # The database knows the value; only the change does not tell it.
            source.rows[key] = {**source.rows[key], "street": "1 Example Road"}
    return source


def consolidate(lake, *names, **options):
    return consolidate_silver(lake, RULES, chosen_entities(names or ["customers"]), **options)


def contents(lake):
    return {name: rows_of(lake, name) for name in TABLES}


@settings(max_examples=settings.default.max_examples // 20)
@given(script=steps, cuts=st.lists(st.integers(1, 4), max_size=8), doubled=st.booleans(),
       seed=st.integers(0, 99))  # fmt: skip
def test_shuffled_doubled_and_split_changes_give_the_same_tables(script, cuts, doubled, seed):
    with tempfile.TemporaryDirectory() as folder:
        whole = new_lake(Path(folder) / "whole")
        source = happen(customers(whole), script)
        records = source.records()
        source.land()
        consolidate(whole)

        mixed = new_lake(Path(folder) / "mixed")
        tables = SilverTables(mixed, CUSTOMERS, 168)
        order = list(range(records.height)) * (1 + doubled)
        random.Random(seed).shuffle(order)
        delivered = []
        while order:
            size = cuts.pop() if cuts else len(order)
            batch, order = sorted(set(order[:size])), order[size:]
            deliver(tables, records[batch], records)
            delivered += batch
        for name in ("enriched_users", "users_history"):
            assert rows_of(mixed, name) == rows_of(whole, name)
        # Nobody asked for watermarks, so quarantine has each change as often as it was delivered.
        partition = list(zip(records["_partition"], records["_offset"], strict=True))
        times = Counter(partition[number] for number in delivered)
        expected = [
            row
            for row in rows_of(whole, "quarantine")
            for _ in range(times[row["_partition"], row["_offset"]])
        ]
        assert rows_of(mixed, "quarantine") == expected


def deliver(tables, batch, everything):
    """Take a batch in without asking for watermarks, as if it came at any time."""
    validated = RULES.validator(CUSTOMERS).validate(
        batch, lambda keys: everything.filter(pl.col("key").is_in(keys.implode()))
    )
    valid = validated.filter(pl.col(BROKEN).is_null())
    Write(rows=tables.quarantined(validated, batch)).commit(tables.quarantine.delta, {})
    tables.history_merge(valid).commit(tables.history.delta, {})
    tables.current_merge(valid).commit(tables.current.delta, {})


def test_only_versions_that_change_are_written(tmp_path):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), [(1, "name", 1), (1, "name", 2), (2, "name", 1)]).land()
    consolidate(lake)
    before = lake.open("silver", "users_history").version()
    happen(source, [(1, "mail", 1)]).land()
    consolidate(lake)
    feed = lake.open("silver", "users_history").load_cdf(starting_version=before + 1)
    written = Counter(pl.DataFrame(pa.table(feed))["_change_type"])
    assert written == {"insert": 1, "update_preimage": 1, "update_postimage": 1}
    assert len(rows_of(lake, "users_history")) == 4


@settings(max_examples=settings.default.max_examples // 25)
@given(scripts=st.lists(steps, min_size=1, max_size=4), beyond=st.integers(0, 2))
def test_hourly_runs_give_what_one_rebuild_gives(scripts, beyond):
    with tempfile.TemporaryDirectory() as folder:
        lake = new_lake(folder)
        source = customers(lake)
        for script in scripts:
            happen(source, script).land(beyond=beyond)
            consolidate(lake)
        hourly = contents(lake)
        assert sum(r.read for r in consolidate(lake)) == 0
        rebuild_silver(lake, RULES, [CUSTOMERS])
        assert contents(lake) == hourly
        assert sum(r.read for r in consolidate(lake)) == 0


def test_rebuild_that_runs_ahead_of_the_hourly_runs_leaves_nothing_uncounted_or_behind(tmp_path):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), [(1, "name", 1), (2, "bad mail", 1)]).land()
    consolidate(lake)
    happen(source, [(2, "bad mail", 2), (3, "name", 1)]).land()
    rebuild_silver(lake, RULES, [CUSTOMERS])
    happen(source, [(1, "mail", 3)]).land()
    consolidate(lake)
    counted = {}
    for row in rows_of(lake, "rule_counts"):
        outcome = row["outcome"], row["rule"]
        counted[outcome] = counted.get(outcome, 0) + row["changes"]
    assert counted["seen", ""] == 5
    assert counted["quarantined", "email_invalid"] == 2
    assert {row["customer_id"] for row in live(lake, "enriched_users")} == {1, 3}


@pytest.mark.parametrize("table", ["enriched_users", "users_history", "quarantine"])
def test_rebuild_in_the_midst_of_which_somebody_commits_is_refused(tmp_path, monkeypatch, table):
    lake = new_lake(tmp_path)
    happen(customers(lake), [(1, "name", 1), (2, "bad mail", 1)]).land()
    consolidate(lake)
    original = BronzeSource.read

    def meanwhile(bronze, ranges, **options):
        other = DeltaTable(lake.uri("silver", table))
        other.alter.set_table_properties({"delta.appendOnly": "false"})
        return original(bronze, ranges, **options)

    monkeypatch.setattr(BronzeSource, "read", meanwhile)
    with pytest.raises(RetryLaterError, match="Rebuild it again"):
        rebuild_silver(lake, RULES, [CUSTOMERS])


def test_rebuild_takes_in_what_silver_had_when_its_tables_were_opened(tmp_path, monkeypatch):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), [(1, "name", 1)]).land()
    consolidate(lake)
    original = SilverTables.open_all

    def late(tables):
        happen(source, [(2, "name", 2)]).land()
        consolidate(lake)
        original(tables)

    monkeypatch.setattr(SilverTables, "open_all", late)
    rebuild_silver(lake, RULES, [CUSTOMERS])
    assert {row["customer_id"] for row in live(lake, "enriched_users")} == {1, 2}


@pytest.mark.parametrize("work", [consolidate_silver, rebuild_silver])
def test_tables_of_all_entities_are_opened_once(tmp_path, monkeypatch, work):
    lake = new_lake(tmp_path)
    happen(customers(lake), [(1, "name", 1), (2, "bad mail", 1)]).land()
    order_lines(lake).change(1, "c").land()
    chosen = chosen_entities(["customers", "order_lines"])
    opened = []
    original = lakehouse.lake.open_or_create

    def noted(uri, *options, **named):
        opened.append(Path(uri).name)
        return original(uri, *options, **named)

    monkeypatch.setattr(lakehouse.lake, "open_or_create", noted)
    work(lake, RULES, chosen)
    assert Counter(opened) == dict.fromkeys(
        ("enriched_users", "users_history", "cleaned_sale_lines", "quarantine", "rule_counts"), 1
    )
    assert len(rows_of(lake, "quarantine")) == 1


def test_a_table_of_another_schema_has_no_contract():
    with pytest.raises(
        WrongArgumentError, match=r"hr\.baker\. Tables are of the schema public, and"
    ):
        chosen_entities(["hr.baker"])
    with pytest.raises(WrongArgumentError, match=r"basket\. Known: "):
        chosen_entities(["basket"])


@pytest.mark.parametrize("moment", range(8))
def test_run_that_dies_at_any_commit_is_made_good_by_the_next(tmp_path, monkeypatch, moment):
    whole, broken = new_lake(tmp_path / "whole"), new_lake(tmp_path / "broken")
    script = [(1, "name", 1), (2, "bad mail", 1), (1, "mail", 2), (3, "name", 1), (3, "delete", 0)]
    for lake in (whole, broken):
        happen(customers(lake), script).land()
    consolidate(whole, run_id="r")
    commits = DyingCommits(dies_at=moment // 2, lands_first=bool(moment % 2))
    with monkeypatch.context() as patch:
        patch.setattr(Write, "commit", commits.dying(Write.commit))
        patch.setattr(Merge, "commit", commits.dying(Merge.commit))
        with pytest.raises(KeyboardInterrupt):
            consolidate(broken, run_id="r")
    consolidate(broken, run_id="r")
    assert contents(broken) == contents(whole)
    assert rows_of(broken, "rule_counts") == rows_of(whole, "rule_counts")


@pytest.mark.parametrize("moment", range(8))
def test_keys_recomputed_after_a_run_that_died_lose_nothing(tmp_path, monkeypatch, moment):
    whole, broken = new_lake(tmp_path / "whole"), new_lake(tmp_path / "broken")
    early = [(1, "name", 1), (2, "bad mail", 1), (3, "name", 2)]
    late = [(1, "mail", 2), (2, "name", 3), (1, "bad mail", 3), (3, "delete", 0)]
    for lake in (whole, broken):
        source = happen(customers(lake), early).land()
        consolidate(lake)
        happen(source, late).land()
    consolidate(whole)
    commits = DyingCommits(dies_at=moment // 2, lands_first=bool(moment % 2))
    with monkeypatch.context() as patch:
        patch.setattr(Write, "commit", commits.dying(Write.commit))
        patch.setattr(Merge, "commit", commits.dying(Merge.commit))
        with pytest.raises(KeyboardInterrupt):
            consolidate(broken)
    keys = pl.Series([b'{"customer_id":%d}' % number for number in (1, 2, 3)])
    replay_keys(broken, keys, tmp_path / "work")
    consolidate(broken)
    assert contents(broken) == contents(whole)


def replay_keys(lake, keys, folder):
    SilverReplayer(
        lake=lake, rules=RULES, entity=CUSTOMERS, ranges={}, keys=keys, folder=folder,
        alone=contextlib.nullcontext,
    ).run()  # fmt: skip


class DyingCommits:
    """The process dies at one commit: before it, or just after it has landed."""

    def __init__(self, *, dies_at, lands_first):
        self.left = dies_at
        self.lands_first = lands_first

    def dying(self, commit):
        def wrapped(write, *arguments):
            dies = self.left == 0
            self.left -= 1
            written = commit(write, *arguments) if not dies or self.lands_first else 0
            if dies:
                raise KeyboardInterrupt
            return written

        return wrapped


def test_lost_answer_of_a_commit_is_looked_up_and_not_done_again(tmp_path, monkeypatch):
    lake = new_lake(tmp_path)
    happen(customers(lake), [(1, "bad mail", 1), (2, "name", 1)]).land()
    lost = []
    original = Write.commit

    def losing(write, *arguments):
        written = original(write, *arguments)
        if not lost:
            lost.append(True)
            raise OSError
        return written

    monkeypatch.setattr(Write, "commit", losing)
    monkeypatch.setattr(SilverTable, "__init__", quick(SilverTable.__init__))
    consolidate(lake)
    assert lost
    assert len(rows_of(lake, "quarantine")) == 1


def test_store_that_stays_away_is_told_to_be_retried_later(tmp_path, monkeypatch):
    lake = new_lake(tmp_path)
    happen(customers(lake), [(1, "name", 1)]).land()

    def refuse(*_):
        raise OSError

    monkeypatch.setattr(Write, "commit", refuse)
    monkeypatch.setattr(SilverTable, "__init__", quick(SilverTable.__init__))
    with pytest.raises(RetryLaterError, match="could not commit"):
        consolidate(lake)


@pytest.mark.parametrize("refusals", [2, None])
def test_store_that_is_away_while_a_table_is_opened_again_is_waited_for(
    tmp_path, monkeypatch, refusals
):
    lake = new_lake(tmp_path)
    happen(customers(lake), [(1, "name", 1)]).land()
    original, reopen = Write.commit, DeltaTable.update_incremental
    asked = []

    def losing(write, *arguments):
        written = original(write, *arguments)
        if not asked:
            raise OSError
        return written

    def refuse(delta):
        asked.append(delta)
        if refusals is None or len(asked) <= refusals:
            raise OSError
        reopen(delta)

    monkeypatch.setattr(Write, "commit", losing)
    monkeypatch.setattr(DeltaTable, "update_incremental", refuse)
    monkeypatch.setattr(SilverTable, "__init__", quick(SilverTable.__init__))
    if refusals is None:
        with pytest.raises(RetryLaterError, match="could not commit"):
            consolidate(lake)
        return
    consolidate(lake)
    assert len(asked) == refusals + 1
    assert [row["customer_id"] for row in live(lake, "enriched_users")] == [1]


def quick(init):
    return lambda table, **options: init(table, **{**options, "pause": lambda _: None})


REFUSED = "object-store error: Generic S3 error: Error performing GET http://minio"


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError("refused"), RetryLaterError),
        (DeltaError(f"Generic DeltaTable error: {REFUSED}"), RetryLaterError),
        (pl.exceptions.ComputeError(REFUSED), RetryLaterError),
        (
            pl.exceptions.ComputeError("cannot compare string with numeric type"),
            pl.exceptions.ComputeError,
        ),
        (pl.exceptions.ColumnNotFoundError("key"), pl.exceptions.ColumnNotFoundError),
        (SchemaMismatchError("column is missing"), DataRefusedError),
        (ValueError("year 0 is out of range"), ValueError),
        (KeyError("key"), KeyError),
    ],
    ids=["refused", "merge", "remote", "query", "column", "schema", "year", "mistake"],
)
@pytest.mark.parametrize("where", ["opened", "read", "written"])
def test_only_what_the_store_raises_is_to_be_retried_later(
    tmp_path, monkeypatch, where, error, raised
):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), [(1, "name", 1), (2, "bad mail", 1)]).land()
    consolidate(lake)
    happen(source, [(1, "name", 2)]).land()

    def refuse(*_, **__):
        raise error

    partition, name = {
        "opened": (lakehouse.lake, "open_or_create"),
        "read": (bronze_reading, "scan"),
        "written": (SilverTables, "current_rows"),
    }[where]
    monkeypatch.setattr(partition, name, refuse)
    monkeypatch.setattr(SilverTable, "__init__", quick(SilverTable.__init__))
    rebuilding = lambda: rebuild_silver(lake, RULES, [CUSTOMERS])  # noqa: E731
    redriving = lambda: redrive(lake, RULES, Selection())  # noqa: E731
    for work in (lambda: consolidate(lake), rebuilding, redriving):
        with pytest.raises(raised):
            work()


def test_batch_of_nothing_but_invalid_changes_moves_the_watermark(tmp_path):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), [(1, "bad mail", 1), (2, "far birth", 1)]).land()
    consolidate(lake)
    table = SilverTables(lake, CUSTOMERS, 168).current
    ends = BronzeSource(source.bronze()).ends
    assert ends
    assert all(starting_position(table.delta, partition) == end for partition, end in ends.items())
    assert live(lake, "enriched_users") == []
    assert len(rows_of(lake, "quarantine")) == 2


def test_watermark_passes_offsets_that_hold_no_record(tmp_path):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), [(1, "name", 1)]).land(beyond=3)
    consolidate(lake)
    version = DeltaTable(lake.uri("silver", "enriched_users")).version()
    consolidate(lake)
    assert DeltaTable(lake.uri("silver", "enriched_users")).version() == version
    happen(source, [(1, "mail", 4)]).land()
    consolidate(lake)
    assert live(lake, "enriched_users")[0]["email"] == "n4@example.com"


def test_deleted_row_stays_deleted_when_an_older_change_comes_late(tmp_path):
    lake = new_lake(tmp_path)
    records = happen(customers(lake), [(1, "name", 1), (1, "mail", 2), (1, "delete", 0)]).records()
    tables = SilverTables(lake, CUSTOMERS, 168)
    deliver(tables, records[2:], records)
    deliver(tables, records[:2], records)
    (row,) = rows_of(lake, "enriched_users")
    assert row["_deleted_at"] is not None
    assert row["email"] is None
    assert row["customer_id"] == 1


def test_row_that_is_inserted_again_lives_again(tmp_path):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), [(1, "name", 1), (1, "delete", 0)]).land()
    consolidate(lake)
    happen(source, [(1, "mail", 5)]).land()
    consolidate(lake)
    assert [row["email"] for row in live(lake, "enriched_users")] == ["n5@example.com"]
    assert len(rows_of(lake, "users_history")) == 3


def test_invalid_change_leaves_the_last_valid_one_standing(tmp_path):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), [(1, "mail", 1)]).land()
    consolidate(lake)
    happen(source, [(1, "bad mail", 2)]).land()
    consolidate(lake)
    (row,) = live(lake, "enriched_users")
    assert (row["email"], row["version"]) == ("n1@example.com", 1)
    (quarantined,) = rows_of(lake, "quarantine")
    assert (quarantined["rule"], quarantined["row_key"], quarantined["_offset"]) == (
        "email_invalid",
        "1",
        1,
    )
    assert b"nobody2" in quarantined["value"]


def test_line_whose_month_changes_moves_and_leaves_nothing_behind(tmp_path):
    lake = new_lake(tmp_path)
    source = order_lines(lake)
    source.change(1, "c").change(2, "c", created_at="2026-01-15T10:00:00.000000Z").land()
    consolidate(lake, "order_lines")
    source.change(1, "u", created_at="2026-02-15T10:00:00.000000Z").land()
    consolidate(lake, "order_lines")
    months = {r["order_line_id"]: r["created_month"] for r in live(lake, "cleaned_sale_lines")}
    assert months == {1: "2026-02", 2: "2026-01"}


def test_business_date_is_the_day_in_the_shop_s_time_zone(tmp_path):
    lake = new_lake(tmp_path)
    order_lines(lake).change(1, "c", created_at="2026-01-31T23:30:00.000000Z").land()
    consolidate(lake, "order_lines")
    (line,) = live(lake, "cleaned_sale_lines")
    assert (str(line["created_date"]), line["created_month"]) == ("2026-02-01", "2026-02")


def test_versions_follow_each_other_without_gap_and_a_delete_ends_the_last(tmp_path):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), [(1, "name", 1), (1, "bad mail", 1), (1, "mail", 2)]).land()
    consolidate(lake)
    happen(source, [(1, "delete", 0)]).land()
    consolidate(lake)
    found = sorted(rows_of(lake, "users_history"), key=lambda row: row["_offset"])
    assert [row["_offset"] for row in found] == [0, 2, 3]
    assert [row["valid_to_at"] for row in found] == [*(r["valid_from_at"] for r in found[1:]), None]
    assert found[-1]["_deleted_at"] is not None


def test_changes_that_silver_has_never_seen_are_offset_gap_and_stop_the_run(tmp_path):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), [(1, "name", n) for n in range(4)]).land()
    tables = SilverTables(lake, CUSTOMERS, 168)
    bronze = BronzeSource(source.bronze())
    (_, second) = list(batches(bronze.pending(tables.current.delta), positions=2))
    with pytest.raises(StopPipelineError, match="rebuild"):
        tables.current.apply(pl.DataFrame(), second, lambda _: None)


def test_rules_count_what_they_saw_cleaned_and_quarantined(tmp_path):
    lake = new_lake(tmp_path)
    happen(customers(lake), [(1, "name", 1), (2, "bad mail", 1), (3, "mail", 1)]).land()
    consolidate(lake, run_id="one")
    counted = {(r["outcome"], r["rule"]): r["changes"] for r in rows_of(lake, "rule_counts")}
    assert counted["seen", ""] == 3
    assert counted["cleaned", "first_name_cleaned"] == 1
    assert counted["cleaned", "email_cleaned"] == 1
    assert counted["quarantined", "email_invalid"] == 1


def test_report_tells_changes_read_cleaned_and_quarantined_and_rows_that_were_merged(tmp_path):
    lake = new_lake(tmp_path)
    # One key is told three times, twice with something to clean; another one is quarantined.
    script = [(1, "clean", 0), (1, "name", 1), (1, "mail", 2), (2, "bad mail", 1)]
    source = happen(customers(lake), script).land()
    (first,) = consolidate(lake)
    assert (first.read, first.cleaned, first.quarantined, first.merged) == (4, 2, 1, 1)
    happen(source, [(1, "bad mail", 3), (2, "bad mail", 2), (3, "clean", 0)]).land()
    (second,) = consolidate(lake)
    assert (second.read, second.cleaned, second.quarantined, second.merged) == (3, 0, 2, 1)
    (rebuilt,) = rebuild_silver(lake, RULES, [CUSTOMERS])
    assert (rebuilt.read, rebuilt.cleaned, rebuilt.quarantined, rebuilt.merged) == (7, 2, 3, 2)


def test_run_with_nothing_new_reads_no_data_and_commits_nothing(tmp_path):
    lake = new_lake(tmp_path)
    customers(lake).change(1, "c").change(1, "u", city="Bath").change(2, "c", email="x").land()
    consolidate(lake)
    before = {name: lake.open("silver", name).version() for name in TABLES}
    files = [path for path in tmp_path.rglob("*.parquet") if "_delta_log" not in path.parts]
    assert files
    for path in files:
        path.unlink()
    consolidate(lake)
    assert {name: lake.open("silver", name).version() for name in TABLES} == before


def test_new_rows_that_somebody_else_wrote_meanwhile_are_not_written_twice(tmp_path):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), [(1, "name", 1)]).land()
    consolidate(lake)
    tables, other = (SilverTables(lake, CUSTOMERS, 168) for _ in range(2))
    tables.open_all()
    happen(source, [(2, "name", 1)]).land()
    bronze = BronzeSource(lake.open("bronze", "raw_users"))
    ranges = bronze.pending(tables.current.delta)
    records = bronze.read(ranges)
    validated = RULES.validator(CUSTOMERS).validate(records, lambda _: records)
    # As a replay does: rows of the same keys, and no watermark.
    other.history_merge(validated).commit(other.history.delta, {})
    other.current_merge(validated).commit(other.current.delta, {})
    tables.apply(validated, records, ranges, run_id="r")
    for name in ("enriched_users", "users_history"):
        assert [row["customer_id"] for row in rows_of(lake, name)] == [1, 2]


def test_older_changes_that_come_again_merge_no_row(tmp_path):
    lake = new_lake(tmp_path)
    source = happen(customers(lake), [(1, "name", 1)])
    older = source.records()
    happen(source, [(1, "name", 2)]).land()
    consolidate(lake)
    tables = SilverTables(lake, CUSTOMERS, 168)
    validated = RULES.validator(CUSTOMERS).validate(older, lambda _: older)
    assert validated.height == 1
    assert tables.current_merge(validated).commit(tables.current.delta, {}) == 0


def test_redriven_keys_are_recomputed_and_leave_quarantine(tmp_path):
    lake = new_lake(tmp_path)
    source = customers(lake)
    source.change(1, "c").change(1, "u", email="ada@home").change(2, "c", email="x").land()
    consolidate(lake)
    assert live(lake, "enriched_users")[0]["email"] == "ada@example.com"
    (unchanged,) = redrive(lake, RULES, Selection())
    assert (unchanged.accepted, unchanged.left) == (0, 2)

    with pytest.MonkeyPatch.context() as patch:
        from lakehouse.cleaning import spelling

        original = spelling.email
        learnt = {"ada@home": "ada@home.example"}
        patch.setattr(spelling, "email", lambda text: learnt.get(text) or original(text))
        (redriven,) = redrive(lake, RULES, Selection())
    assert (redriven.keys, redriven.accepted, redriven.left) == (2, 1, 1)
    assert live(lake, "enriched_users")[0]["email"] == "ada@home.example"
    assert [row["row_key"] for row in rows_of(lake, "quarantine")] == ["2"]
    assert len(rows_of(lake, "users_history")) == 2


def test_change_whose_key_could_not_be_read_leaves_quarantine_once_it_can(tmp_path):
    lake = new_lake(tmp_path)
    source = customers(lake).change(1, "c").change(1, "u", email="x")
    source.change(1, "u", customer_id="one", email="ada@example.com").land()
    consolidate(lake)
    found = {row["_offset"]: row["row_key"] for row in rows_of(lake, "quarantine")}
    assert found == {1: "1", 2: None}
    with pytest.MonkeyPatch.context() as patch:
        # A parser that has learnt to read it.
        original = envelope._flatten
        patch.setattr(envelope, "_flatten", lambda *given: original(*given).with_columns(
            pl.col("text:customer_id").replace("one", "1")))  # fmt: skip
        (redriven,) = redrive(lake, RULES, Selection())
    assert (redriven.accepted, redriven.left) == (1, 1)
    assert [row["_offset"] for row in rows_of(lake, "quarantine")] == [1]
    assert [row["_offset"] for row in live(lake, "enriched_users")] == [2]


def test_key_that_no_rule_lets_pass_any_more_is_removed(tmp_path):
    lake = new_lake(tmp_path)
    source = customers(lake)
    source.change(1, "c").change(2, "c").land()
    consolidate(lake)
    keys = pl.Series(
        [b'{"customer_id":1}'])  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        from lakehouse.cleaning import spelling

        patch.setattr(spelling, "email", lambda _: None)
        replay_keys(lake, keys, tmp_path / "work")
    assert [row["customer_id"] for row in live(lake, "enriched_users")] == [2]
    assert [row["row_key"] for row in rows_of(lake, "quarantine")] == ["1"]


def test_keys_of_another_type_than_in_the_table_are_refused(tmp_path):
    lake = new_lake(tmp_path)
    SilverTables(lake, CUSTOMERS, 168).open_all()
    texts = with_key_types(ENTITIES, {"customers": Type.TEXT})["customers"]
    said = "enriched_users: customer_id was made as long, and is string now.*MINIO_BUCKET_PREFIX"
    with pytest.raises(StopPipelineError, match=said):
        SilverTables(lake, texts, 168).open_all()
    SilverTables(lake, CUSTOMERS, 168).open_all()
