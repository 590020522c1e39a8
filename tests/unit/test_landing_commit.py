"""The commit protocol, against a log that fails at every step with every outcome."""

from dataclasses import dataclass, field

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.bronze.commit import commit_batch, plan_commit
from consumers.buffer import Batch, Buffers, FlushPolicy, TableBuffer
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.lake import BRONZE_SCHEMA
from lakehouse.offsets import OffsetRange, TopicPartition, next_position

P0 = TopicPartition(topic="shop.public.orders", topic_id="id", partition=0)
P1 = TopicPartition(topic="shop.public.orders", topic_id="id", partition=1)


class StoreAwayError(Exception):
    """What an object store raises when nobody knows whether it took the commit."""


@dataclass
class Log:
    """A Delta log in memory: commits of rows and watermarks."""

    commits: list[tuple[list[tuple[int, int]], dict[TopicPartition, int]]] = field(
        default_factory=list
    )

    def watermark(self, partition, version):
        found = None
        for _, watermarks in self.commits[:version]:
            found = watermarks.get(partition, found)
        return found

    def coordinates(self):
        return [c for rows, _ in self.commits for c in rows]


class FakeTable:
    """A handle on one version of the log, as delta-rs has it.

    `script` says what becomes of each append: done, refused (nothing lands), or lost (the commit
    lands and the answer does not). A commit against a moved watermark is always refused.
    """

    def __init__(self, log, script=()):
        self.log = log
        self.version = len(log.commits)
        self.script = list(script)

    def watermark(self, partition):
        return self.log.watermark(partition, self.version)

    def append(self, rows, watermarks):
        fate = self.script.pop(0) if self.script else "done"
        since = self.log.commits[self.version :]
        if fate == "refused" or any(set(w) & set(watermarks) for _, w in since):
            raise StoreAwayError(fate)
        self.log.commits.append((coordinates(rows), dict(watermarks)))
        if fate == "lost":
            raise StoreAwayError(fate)
        self.version = len(self.log.commits)

    def reopen(self):
        if self.script and self.script[0] == "away":
            self.script.pop(0)
            raise StoreAwayError
        self.version = len(self.log.commits)


def coordinates(rows):
    return list(zip(rows["_partition"].to_pylist(), rows["_offset"].to_pylist(), strict=True))


def rows_of(partition, offsets):
    filler = {name: [None] * len(offsets) for name in BRONZE_SCHEMA.names}
    return pa.Table.from_pydict(
        filler
        | {
            "_topic_id": [partition.topic_id] * len(offsets),
            "_partition": [partition.partition] * len(offsets),
            "_offset": list(offsets),
        },
        schema=BRONZE_SCHEMA,
    )


def batch_of(*parts):
    """Each part: partition, start, stop, offsets that have a record."""
    return Batch(
        rows=pa.concat_tables([rows_of(p, offsets) for p, _, _, offsets in parts]),
        ranges={p: OffsetRange(start=start, stop=stop) for p, start, stop, _ in parts},
    )


def keep_trying(_tries, _error):
    return None


def test_rows_and_watermark_land_in_one_commit():
    log = Log()
    outcome = commit_batch(FakeTable(log), batch_of((P0, 0, 3, [0, 1, 2])), keep_trying)
    assert log.commits == [([(0, 0), (0, 1), (0, 2)], {P0: 2})]
    assert (outcome.rows, outcome.landed, outcome.gaps) == (3, {P0: 2}, {})


def test_hole_left_by_a_transaction_marker_is_no_offset_gap():
    log = Log([([], {P0: 9})])
    outcome = commit_batch(FakeTable(log), batch_of((P0, 10, 13, [12])), keep_trying)
    assert outcome.rows == 1
    assert log.coordinates() == [(0, 12)]


def test_lost_answer_does_not_land_the_batch_twice():
    log = Log()
    commit_batch(FakeTable(log, ["lost"]), batch_of((P0, 0, 2, [0, 1])), keep_trying)
    assert log.coordinates() == [(0, 0), (0, 1)]
    assert len(log.commits) == 1


def test_zombie_drops_what_its_successor_has_landed():
    log = Log()
    zombie = FakeTable(log)
    commit_batch(FakeTable(log), batch_of((P0, 0, 5, range(5))), keep_trying)
    outcome = commit_batch(zombie, batch_of((P0, 0, 3, range(3))), keep_trying)
    assert outcome.rows == 0
    assert log.coordinates() == [(0, n) for n in range(5)]


def test_overlapping_batch_lands_only_its_new_end():
    log = Log([([], {P0: 4})])
    outcome = commit_batch(FakeTable(log), batch_of((P0, 2, 8, range(2, 8))), keep_trying)
    assert log.coordinates() == [(0, 5), (0, 6), (0, 7)]
    assert outcome.rows == 3


def test_batch_beyond_the_watermark_is_discarded_and_reported_as_an_offset_gap():
    log = Log([([], {P0: 4})])
    outcome = commit_batch(FakeTable(log), batch_of((P0, 7, 9, [7, 8])), keep_trying)
    assert outcome.gaps == {P0: 5}
    assert outcome.landed == {}
    assert log.coordinates() == []


def test_offset_gap_in_one_partition_leaves_the_others_to_land():
    log = Log([([], {P0: 4})])
    batch = batch_of((P0, 7, 9, [7, 8]), (P1, 0, 2, [0, 1]))
    outcome = commit_batch(FakeTable(log), batch, keep_trying)
    assert log.coordinates() == [(1, 0), (1, 1)]
    assert (outcome.landed, outcome.gaps) == ({P1: 1}, {P0: 5})


def test_nothing_new_makes_no_commit():
    log = Log([([], {P0: 4})])
    commit_batch(FakeTable(log), batch_of((P0, 0, 5, range(5))), keep_trying)
    assert len(log.commits) == 1


def test_giving_up_passes_the_callers_error_on():
    def give_up(tries, error):
        if tries == 2:
            message = "store away"
            raise RetryLaterError(message) from error

    with pytest.raises(RetryLaterError, match="store away"):
        commit_batch(FakeTable(Log(), ["refused"] * 9), batch_of((P0, 0, 1, [0])), give_up)


def test_error_that_no_retry_can_help_is_not_retried():
    class Broken(FakeTable):
        def append(self, rows, watermarks):
            message = "no"
            raise StopPipelineError(message)

    with pytest.raises(StopPipelineError):
        commit_batch(Broken(Log()), batch_of((P0, 0, 1, [0])), keep_trying)


FATES = st.lists(st.sampled_from(["done", "refused", "lost", "away"]), max_size=4)


@given(st.data())
def test_every_record_lands_once_however_batches_are_cut_and_commits_fail(data):
    """Several landers, old and new, deliver overlapping batches of one history in any order."""
    records = sorted(data.draw(st.sets(st.integers(0, 40), min_size=1)))
    end = records[-1] + 1
    log = Log()
    handles = [FakeTable(log), FakeTable(log)]
    for _ in range(data.draw(st.integers(0, 8))):
        wanted = next_position(log.watermark(P0, len(log.commits)))
        start = data.draw(st.integers(0, min(wanted, end - 1)) | st.integers(0, end - 1))
        stop = data.draw(st.integers(start + 1, end))
        table = data.draw(st.sampled_from(handles))
        table.script = data.draw(FATES)
        offsets = [o for o in records if start <= o < stop]
        outcome = commit_batch(table, batch_of((P0, start, stop, offsets)), keep_trying)
        if outcome.gaps:
            assert outcome.gaps[P0] < start
    wanted = next_position(log.watermark(P0, len(log.commits)))
    if wanted < end:
        rest = [o for o in records if o >= wanted]
        commit_batch(FakeTable(log), batch_of((P0, wanted, end, rest)), keep_trying)
    assert log.coordinates() == [(0, o) for o in records]
    assert [w[P0] for _, w in log.commits] == sorted({w[P0] for _, w in log.commits})


@given(start=st.integers(0, 50), length=st.integers(1, 50), mark=st.none() | st.integers(0, 120))
def test_plan_keeps_drops_or_reports_every_position(start, length, mark):
    batch = batch_of((P0, start, start + length, []))
    plan = plan_commit(batch.ranges, {P0: next_position(mark)})
    wanted = 0 if mark is None else mark + 1
    assert (P0 in plan.gaps) == (wanted < start)
    assert (P0 in plan.keep) == (start <= wanted < start + length)


def chunk_of(partition, offsets):
    return rows_of(partition, offsets).combine_chunks().to_batches()[0]


def test_buffer_refuses_a_chunk_that_does_not_continue_where_the_last_one_stopped():
    buffer = TableBuffer()
    buffer.add(chunk_of(P0, [0, 1]), {P0: OffsetRange(start=0, stop=2)}, now=0)
    with pytest.raises(ValueError, match="expected a chunk from 2, got one from 3"):
        buffer.add(chunk_of(P0, [3]), {P0: OffsetRange(start=3, stop=4)}, now=0)


def test_buffer_span_covers_the_hole_before_its_first_record():
    buffer = TableBuffer()
    buffer.add(chunk_of(P0, [7]), {P0: OffsetRange(start=3, stop=8)}, now=0)
    buffer.add(chunk_of(P0, [9]), {P0: OffsetRange(start=8, stop=10)}, now=1)
    assert buffer.held().ranges == {P0: OffsetRange(start=3, stop=10)}


def test_buffers_let_go_of_what_is_taken_or_committed_and_of_nothing_else():
    buffers = Buffers()
    for topic, partition in (("a", P0), ("b", P1), ("c", P0)):
        buffers.add(topic, chunk_of(partition, [0]), {partition: OffsetRange(start=0, stop=1)}, 0)
    held = buffers.bytes
    assert coordinates(buffers.take("a").rows) == [(0, 0)]
    buffers.discard(["b"])
    assert list(buffers) == ["c"]
    assert buffers.bytes == held / 3


@pytest.mark.parametrize(
    ("policy", "now"),
    [
        pytest.param(FlushPolicy(rows=2, bytes=10**9, seconds=99), 0, id="rows"),
        pytest.param(FlushPolicy(rows=99, bytes=1, seconds=99), 0, id="bytes"),
        pytest.param(FlushPolicy(rows=99, bytes=10**9, seconds=5), 5, id="age"),
    ],
)
def test_buffer_is_due_on_rows_bytes_or_age(policy, now):
    buffer = TableBuffer()
    assert not buffer.is_due(policy, now)
    buffer.add(chunk_of(P0, [0, 1]), {P0: OffsetRange(start=0, stop=2)}, now=0)
    assert buffer.is_due(policy, now)


def test_dropping_a_revoked_partition_keeps_the_others():
    buffer = TableBuffer()
    buffer.add(chunk_of(P0, [0, 1]), {P0: OffsetRange(start=0, stop=2)}, now=0)
    buffer.add(chunk_of(P1, [5]), {P1: OffsetRange(start=5, stop=6)}, now=0)
    buffer.drop(P0)
    batch = buffer.held()
    assert coordinates(batch.rows) == [(1, 5)]
    assert list(batch.ranges) == [P1]
