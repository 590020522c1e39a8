"""Batches of bronze by the bytes of their records: each offset once, and not too many bytes."""

from hypothesis import given
from hypothesis import strategies as st

from batch.silver.bronze import BronzeSource
from batch.silver.sizes import RECORD_BYTES, BatchLimits, Stretch, batches_of
from lakehouse.offsets import EpochPartition, OffsetRange
from tests.unit.bronze_maker import customers, new_lake

_MB = 1024 * 1024
_ends = st.integers(0, 300)


def place(partition):
    return EpochPartition(epoch=0, topic_id="topic", partition=partition)


@st.composite
def row_groups(draw):
    first, second = sorted((draw(_ends), draw(_ends)))
    partitions = sorted((draw(st.integers(0, 2)), draw(st.integers(0, 2))))
    return Stretch(
        partitions=tuple(partitions), offsets=(first, second), records=draw(st.integers(1, 50)),
        record_bytes=draw(st.integers(1, 500)),
    )  # fmt: skip


@given(
    ranges=st.dictionaries(st.integers(0, 2), st.tuples(_ends, _ends).map(sorted)),
    groups=st.lists(row_groups(), max_size=8),
    records=st.integers(1, 200),
    most=st.integers(1, 5000),
)
def test_batches_cover_each_offset_once_and_hold_no_more_than_the_largest_records_allow(
    ranges, groups, records, most
):
    wanted = {place(p): OffsetRange(start=a, stop=b) for p, (a, b) in ranges.items()}
    limits = BatchLimits(records=records, bytes=most)
    seen = {p: s.start for p, s in wanted.items()}
    for batch in batches_of(wanted, groups, limits):
        assert batch
        size = count = 0
        for p, s in batch.items():
            assert s.start == seen[p] < s.stop
            seen[p] = s.stop
            count += s.stop - s.start
            sizes = [largest(groups, p.partition, offset) for offset in range(s.start, s.stop)]
            size += sum(sizes[1:])  # the first of each partition is always in it
        assert size <= most
        assert count <= max(records, len(batch))
    assert seen == {p: s.stop for p, s in wanted.items()}


def largest(groups, partition, offset):
    return max(
        (
            one.record_bytes
            for one in groups
            if one.partitions[0] <= partition <= one.partitions[1]
            and one.offsets[0] <= offset <= one.offsets[1]
        ),
        default=0,
    )


def test_sizes_are_those_of_the_records_however_well_they_compress(tmp_path):
    lake = new_lake(tmp_path)
    shop = customers(lake)
    for key in range(40):
        shop.change(key, "c", city="x" * (200_000 if key >= 20 else 10))
        if key in (19, 39):
            shop.land()
    bronze = BronzeSource(lake.open("bronze", shop.entity.bronze))
    whole = {p: OffsetRange(start=0, stop=end) for p, end in bronze.ends.items()}
    limits = BatchLimits(records=1000, bytes=_MB)
    read = [bronze.read(batch) for batch in bronze.batches(whole, limits)]
    assert sum(one.height for one in read) == 40
    sizes = [one["value"].bin.size().sum() + one.height * RECORD_BYTES for one in read]
    assert max(sizes) <= _MB + 2 * 210_000
    assert len(read) < 12
    assert read[0].height >= 20
    assert len(read) <= bronze.count_batches(bronze.ends, limits) + 2
