"""A replay from Kafka into bronze, on a Delta table in a folder, interrupted and resumed."""

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from consumers.bronze.table import DeltaBronzeTable
from lakehouse.delta import has_only_grown
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.kafka import Topic
from lakehouse.lake import BRONZE_SCHEMA
from lakehouse.offsets import OffsetRange, TopicIdentity
from lakehouse.selection import Selection
from lakehouse.settings import KafkaSettings
from replay.bronze import BronzeReplayer
from replay.kafka_range import KafkaRange
from tests.unit.bronze_maker import START

IDENTITY = TopicIdentity(topic_id="topic", epoch=0)
ALL = {0: OffsetRange(start=0, stop=40)}
BRONZE = DeltaBronzeTable.open_or_create


def records(first, stop):
    rows = [
        {"key": b"k%d" % n, "value": b"v%d" % n, "_topic_id": "topic", "_epoch": 0,
         "_partition": 0, "_offset": n, "_timestamp": START, "_headers": None,
         "_date": START.date()}
        for n in range(first, stop)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=BRONZE_SCHEMA)


class Kafka:
    """What it has, and which offsets were asked for; dies after some windows."""

    def __init__(self, dies_after=None, at=lambda: None, at_most=100):
        self.asked = []
        self.at_most = at_most
        self.dies_after = dies_after
        self.at = at

    def read(self, ranges):
        if len(self.asked) == self.dies_after:
            raise KeyboardInterrupt
        self.at()
        (offsets,) = ranges.values()
        self.asked.append((offsets.start, offsets.stop))
        stop = min(offsets.stop, offsets.start + self.at_most)
        return records(offsets.start, stop), {0: OffsetRange(start=offsets.start, stop=stop)}


@pytest.fixture
def table(tmp_path):
    made = BRONZE(str(tmp_path / "raw_sales"), {}, retention_hours=24)
    for first in range(0, 40, 10):
        land(made, first)
    return made


def land(table, first):
    write_deltalake(table.delta, records(first, first + 10), mode="append")


def replay(table, source, folder, ranges=ALL):
    table.reopen()
    return BronzeReplayer(
        name="raw_sales", table=table, identity=IDENTITY, ends={0: 40}, window=10,
        folder=folder / "work",
    ).run(source, ranges)  # fmt: skip


def cut_off(table, folder, *, after=3):
    with pytest.raises(KeyboardInterrupt):
        replay(table, Kafka(dies_after=after), folder)


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda _delta: None,
        lambda delta: write_deltalake(delta, records(40, 50), mode="append"),
        lambda delta: delta.optimize.compact(),
        lambda delta: delta.alter.set_table_properties(
            {"shop.maintenance_fence": "1"}, raise_if_not_exists=False
        ),
    ],
    ids=["nothing", "landed", "compacted", "fenced"],
)
def test_replay_into_bronze_that_was_interrupted_continues_and_says_with_which_range(
    table, tmp_path, meanwhile
):
    table.delta.delete("_offset = 3")
    cut_off(table, tmp_path)
    meanwhile(table.delta)
    kafka = Kafka()
    done = replay(table, kafka, tmp_path, {0: OffsetRange(start=0, stop=50)})
    assert kafka.asked == [(30, 40)]
    assert (done.went_on, done.ranges) == (True, ALL)
    assert (done.found.read, done.found.missing) == (40, 1)
    assert done.after.rows == 40


@pytest.mark.parametrize(
    "damage",
    [
        lambda delta: delta.delete("_offset = 5"),
        lambda delta: delta.update(updates={"value": "key"}, predicate="_offset = 5"),
        lambda delta: write_deltalake(
            delta, records(0, 4), mode="overwrite", predicate="_offset < 5"
        ),
        lambda delta: delta.restore(delta.version() - 1),
    ],
    ids=["lost", "other", "overwritten", "restored"],
)
def test_replay_that_was_interrupted_before_bronze_was_damaged_begins_again(
    table, tmp_path, damage
):
    cut_off(table, tmp_path)
    damage(table.delta)
    kafka = Kafka()
    done = replay(table, kafka, tmp_path)
    assert [asked[0] for asked in kafka.asked] == [0, 10, 20, 30]
    assert not done.went_on
    assert done.before != done.after
    table.reopen()
    rows = pl.DataFrame(table.delta.to_pyarrow_table()).sort("_offset")
    assert rows.equals(pl.DataFrame(records(0, 40)))


def test_bronze_that_is_damaged_while_it_is_compared_is_not_said_to_be_what_it_was(table, tmp_path):
    other = BRONZE(str(tmp_path / "raw_sales"), {}, retention_hours=24)
    kafka = Kafka(at=lambda: other.delta.delete("_offset = 5"))
    with pytest.raises(RetryLaterError, match="Run the same replay"):
        replay(table, kafka, tmp_path)
    done = replay(table, Kafka(), tmp_path)
    assert (done.found.missing, done.after.rows) == (1, 40)


def test_examples_of_what_differed_say_which_columns_and_how(table, tmp_path):
    table.delta.update(updates={"value": "'other'"}, predicate="_offset = 7")
    table.delta.delete("_offset = 3")
    cut_off(table, tmp_path)
    done = replay(table, Kafka(), tmp_path)
    examples = {one["_offset"]: (one["kind"], one["columns"]) for one in done.found.examples}
    assert examples == {3: ("missing", {}), 7: ("different", {"value": ["other", "v7"]})}


def test_windows_of_which_not_all_was_read_are_read_from_there(table, tmp_path):
    table.delta.delete("_offset = 5 or _offset = 38")
    kafka = Kafka(at_most=4)
    done = replay(table, kafka, tmp_path)
    assert [first for first, _ in kafka.asked] == list(range(0, 40, 4))
    assert (done.found.read, done.found.missing, done.after.rows) == (40, 2, 40)


def test_commits_of_others_in_the_meantime_are_not_taken_for_those_before(table, tmp_path):
    ours = table.delta
    landed = ours.version()
    other = BRONZE(str(tmp_path / "raw_sales"), {}, retention_hours=24)
    assert has_only_grown(ours, 1)
    other.delta.delete("_offset = 5")
    assert has_only_grown(ours, 1)
    later = DeltaTable(str(tmp_path / "raw_sales"))
    for first in (40, 50):
        land(other, first)
    assert not has_only_grown(later, landed)


def test_log_that_does_not_reach_back_is_not_trusted(table, tmp_path):
    assert has_only_grown(table.delta, 1)
    assert not has_only_grown(table.delta, table.delta.version() + 1)
    table.delta.create_checkpoint()
    for entry in sorted((tmp_path / "raw_sales" / "_delta_log").glob("*.json"))[:3]:
        entry.unlink()
    assert not has_only_grown(table.delta, 1)


def test_partition_that_a_topic_does_not_have_is_refused_before_kafka_is_asked():
    topic = Topic(name="shop.public.orders", topic_id="topic", partition_count=2)
    chosen = Selection(first={9: 1})
    refused = pytest.raises(StopPipelineError, match="orders has partitions 0, 1, not 9")
    with KafkaRange(KafkaSettings(), topic, IDENTITY) as source, refused:
        source.resolve(chosen, {0: 5, 1: 5})
