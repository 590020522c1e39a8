"""Ranges as people give them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import StopPipelineError
from lakehouse.offsets import OffsetRange
from lakehouse.selection import Selection

offsets = st.dictionaries(st.integers(0, 3), st.integers(0, 30), max_size=3)
maybe = st.none() | st.integers(0, 30)


MOMENT = datetime(2026, 11, 25, tzinfo=UTC)
selections = st.builds(
    Selection,
    first=offsets,
    last=offsets,
    since=st.sampled_from([None, MOMENT]),
    until=st.sampled_from([None, MOMENT]),
)


@given(chosen=selections, partition=st.integers(0, 4), end=st.integers(0, 25), since=maybe,
       until=maybe)  # fmt: skip
def test_offsets_and_times_narrow_a_range_and_never_widen_it(chosen, partition, end, since, until):
    offsets = chosen.offsets(partition, end=end, since=since, until=until)
    first, last = chosen.first, chosen.last
    is_since, is_until = chosen.since is not None, chosen.until is not None
    meant = {
        offset
        for offset in range(end)
        if (not (first or last) or partition in first or partition in last)
        and offset >= first.get(partition, 0)
        and offset <= last.get(partition, end)
        and (not is_since or (since is not None and offset >= since))
        and (not is_until or until is None or offset < until)
    }
    assert set(range(offsets.start, offsets.stop) if offsets else ()) == meant


def test_places_and_times_are_read_as_typed():
    chosen = Selection.parsed(
        from_offset=["0:10", " 3:7"], to_offset=["0:10"], from_time="2026-11-25T08:00",
        to_time="2026-11-25T10:00+01:00",
    )  # fmt: skip
    assert chosen.first == {0: 10, 3: 7}
    assert chosen.since == datetime(2026, 11, 25, 7, tzinfo=UTC)
    assert chosen.until == datetime(2026, 11, 25, 9, tzinfo=UTC)
    assert chosen.offsets(0, end=50, since=2) == OffsetRange(start=10, stop=11)
    assert chosen.offsets(1, end=50, since=2) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"from_offset": ["1"]}, "--from-offset '1' is not PARTITION:OFFSET"),
        ({"to_offset": ["0:-1"]}, "--to-offset '0:-1' is not PARTITION:OFFSET"),
        ({"from_offset": ["0:1", "0:2"]}, "names partition 0 twice"),
        ({"from_offset": ["0:9"], "to_offset": ["0:8"]}, "Swap --from-offset and --to-offset"),
        ({"from_time": "yesterday"}, "--from-time 'yesterday' is not a time"),
        ({"from_time": "2026-01-02", "to_time": "2026-01-01"}, "Nothing lies between"),
    ],
)
def test_what_cannot_be_read_is_refused_with_an_example(given, said):
    with pytest.raises(StopPipelineError, match=said):
        Selection.parsed(**given)
