"""Compaction beside others: one at a time, and no row lost or doubled."""

import threading

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from lakehouse import maintenance
from lakehouse.delta import NO_HOOKS, table_properties, with_watermarks
from lakehouse.maintenance import (
    LEASE_APP_ID,
    CompactionHeldError,
    CompactionLostError,
    compact,
    maintain,
)

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string()), ("month", pa.string())])
ROWS = 54


def rows(ids, text="a"):
    months = [f"2026-{1 + n % 3:02}" for n in ids]
    return pa.table({"id": list(ids), "text": [text] * len(ids), "month": months}, schema=SCHEMA)


@pytest.fixture
def uri(tmp_path):
    """Six small files in each of three partitions."""
    table = DeltaTable.create(
        tmp_path / "t",
        SCHEMA,
        partition_by=["month"],
        configuration=table_properties(retention_hours=1, has_change_feed=True),
    )
    for n in range(6):
        write_deltalake(
            table,
            rows(range(n * 9, n * 9 + 9)),
            mode="append",
            commit_properties=with_watermarks({f"bronze/t/0/{n % 2}": n}),
            post_commithook_properties=NO_HOOKS,
        )
    return str(tmp_path / "t")


def count(uri):
    return pa.table(DeltaTable(uri).to_pyarrow_table()).num_rows


def merge(table, number):
    merging = table.merge(
        rows([number], "b"),
        "t.id = s.id",
        source_alias="s",
        target_alias="t",
        post_commithook_properties=NO_HOOKS,
    )
    return merging.when_matched_update_all().when_not_matched_insert_all().execute()


def test_compaction_keeps_rows_and_watermarks_and_makes_no_change(uri):
    before = DeltaTable(uri).version()
    done = compact(DeltaTable(uri))
    table = DeltaTable(uri)
    assert (done.files_removed, done.files_added) == (18, 3)
    assert count(uri) == ROWS
    assert [table.transaction_version(f"bronze/t/0/{n}") for n in (0, 1)] == [4, 5]
    feed = table.load_cdf(starting_version=before + 1).read_all()
    assert pa.table(feed).num_rows == 0


def test_compaction_of_a_compact_table_commits_nothing(uri):
    compact(DeltaTable(uri))
    version = DeltaTable(uri).version()
    assert compact(DeltaTable(uri)).files_removed == 0
    assert DeltaTable(uri).version() == version


def test_empty_table_has_nothing_to_compact(tmp_path):
    table = DeltaTable.create(tmp_path / "empty", SCHEMA)
    assert compact(table).files_removed == 0


def test_delta_itself_lets_two_compactions_double_the_rows(uri):
    """Why there is a lease. Once this fails, the lease can go."""
    first, second = DeltaTable(uri), DeltaTable(uri)
    first.optimize.compact()
    second.optimize.compact()
    assert count(uri) == 2 * ROWS


def test_of_many_compactions_at_once_one_gets_the_lease(uri):
    done, refused = [], []

    def work(table):
        try:
            done.append(compact(table))
        except CompactionHeldError as error:
            refused.append(error)

    tables = [DeltaTable(uri) for _ in range(4)]
    threads = [threading.Thread(target=work, args=(table,)) for table in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one.files_removed for one in done) == 18
    assert len(done) + len(refused) == 4
    assert count(uri) == ROWS


def test_lease_of_a_running_compaction_is_respected_and_given_back(uri):
    holder = DeltaTable(uri)
    with maintenance.lease(holder, lambda: 1000.0), pytest.raises(CompactionHeldError):
        compact(DeltaTable(uri), clock=lambda: 1001.0)
    assert DeltaTable(uri).transaction_version(LEASE_APP_ID) == 0
    assert compact(DeltaTable(uri)).files_removed == 18


def test_one_taken_for_dead_that_comes_back_cannot_commit_its_compaction(uri):
    zombie = DeltaTable(uri)
    maintenance._claim(zombie, lambda: 1000.0)
    assert compact(DeltaTable(uri), clock=lambda: 2000.0).files_removed == 18
    with pytest.raises(CommitFailedError):
        zombie.optimize.compact()
    assert count(uri) == ROWS


def test_one_that_comes_back_does_not_give_back_the_lease_of_its_successor(uri):
    holder = DeltaTable(uri)
    with maintenance.lease(holder, lambda: 1000.0):
        until = maintenance._claim(DeltaTable(uri), lambda: 2000.0)
    assert DeltaTable(uri).transaction_version(LEASE_APP_ID) == until


def die_with_the_lease(uri, notes, clock):
    with maintenance.LeaseNotes.opened(notes) as ours:
        maintenance._claim(DeltaTable(uri), clock, 3600, ours)


def test_one_that_died_takes_its_own_lease_over_and_others_wait(uri, tmp_path):
    notes = tmp_path / "ours.lease"
    die_with_the_lease(uri, notes, lambda: 1000.0)
    die_with_the_lease(uri, notes, lambda: 1001.0)
    with pytest.raises(CompactionHeldError, match="free again by 1970-01-01 02:16:41 CET"):
        compact(DeltaTable(uri), clock=lambda: 1002.0)
    with (
        maintenance.LeaseNotes.opened(tmp_path / "theirs.lease") as theirs,
        pytest.raises(CompactionHeldError),
        maintenance.lease(DeltaTable(uri), lambda: 1002.0, notes=theirs),
    ):
        pass
    with (
        maintenance.LeaseNotes.opened(notes) as ours,
        maintenance.lease(DeltaTable(uri), lambda: 1002.0, notes=ours),
    ):
        pass
    assert compact(DeltaTable(uri), clock=lambda: 1003.0).files_removed > 0
    assert count(uri) == ROWS


def test_one_with_patience_waits_for_a_compaction_to_end(uri):
    is_held, may_end = threading.Event(), threading.Event()

    def hold():
        with maintenance.lease(DeltaTable(uri)):
            is_held.set()
            may_end.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    is_held.wait(60)
    threading.Timer(1, may_end.set).start()
    with maintenance.lease(DeltaTable(uri), patience_seconds=60):
        assert may_end.is_set()
    holder.join()


def test_one_that_lives_does_not_lose_its_lease_to_another_of_us(uri, tmp_path):
    notes = tmp_path / "ours.lease"
    with (
        maintenance.LeaseNotes.opened(notes),
        pytest.raises(CompactionHeldError, match="Another process does the same"),
        maintenance.LeaseNotes.opened(notes),
    ):
        pass


def test_what_a_dead_one_still_sends_is_refused_once_its_lease_was_taken_over(uri, tmp_path):
    notes, zombie = tmp_path / "ours.lease", DeltaTable(uri)
    with maintenance.LeaseNotes.opened(notes) as ours:
        maintenance._claim(zombie, lambda: 1000.0, 3600, ours)
    with (
        maintenance.LeaseNotes.opened(notes) as ours,
        maintenance.lease(DeltaTable(uri), lambda: 1001.0, notes=ours),
        pytest.raises(CommitFailedError),
    ):
        zombie.optimize.compact()
    assert count(uri) == ROWS


def test_merge_that_comes_first_wins_and_the_compaction_says_so(uri, monkeypatch):
    table = DeltaTable(uri)
    claim = maintenance._claim

    def claim_and_be_late(*arguments):
        until = claim(*arguments)
        merge(DeltaTable(uri), 3)
        return until

    monkeypatch.setattr(maintenance, "_claim", claim_and_be_late)
    with pytest.raises(CompactionLostError):
        compact(table)
    assert count(uri) == ROWS
    assert DeltaTable(uri).transaction_version(LEASE_APP_ID) == 0


def test_merge_that_comes_second_fails_and_can_be_done_again(uri):
    late = DeltaTable(uri)
    compact(DeltaTable(uri))
    with pytest.raises(CommitFailedError):
        merge(late, 3)
    merge(DeltaTable(uri), 3)
    assert count(uri) == ROWS


def test_overwrite_begun_before_a_compaction_must_not_be_let_through(uri):
    """Delta would leave the compacted rows beside the new ones: so an overwrite never retries."""
    late = DeltaTable(uri)
    compact(DeltaTable(uri))
    with pytest.raises(CommitFailedError):
        write_deltalake(
            late,
            rows([1]),
            mode="overwrite",
            commit_properties=CommitProperties(max_commit_retries=0),
        )
    assert count(uri) == ROWS


def test_append_continues_beside_a_compaction(uri):
    late = DeltaTable(uri)
    compact(DeltaTable(uri))
    write_deltalake(late, rows([100]), mode="append", post_commithook_properties=NO_HOOKS)
    assert count(uri) == ROWS + 1


def test_round_leaves_a_checkpoint_and_no_row_out_of_place(uri):
    done = maintain(uri, {}, retention_hours=1)
    assert (done.files_removed, done.files_added, done.files_vacuumed) == (18, 3, 0)
    table = DeltaTable(uri)
    assert f'"version":{table.version()}' in (
        (table_log(uri) / "_last_checkpoint").read_text(encoding="utf-8")
    )
    assert count(uri) == ROWS


def test_round_continues_without_compaction_while_somebody_compacts(uri):
    maintenance._claim(DeltaTable(uri), maintenance.time.time)
    assert maintain(uri, {}, retention_hours=1).files_removed == 0
    assert (table_log(uri) / "_last_checkpoint").exists()


def table_log(uri):
    from pathlib import Path

    return Path(uri) / "_delta_log"
