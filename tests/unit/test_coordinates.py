"""Rows of a result, counted by the messages that they came from."""

from collections import Counter

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.coordinates import counted

MESSAGES = [(partition, offset) for partition in range(3) for offset in range(4)]


def coordinates(messages):
    sizes = [10 * partition + offset for partition, offset in messages]
    columns = {"partition": pl.Int32, "offset": pl.Int64}
    rows = pl.DataFrame(messages, schema=columns, orient="row")
    return rows.with_columns(pl.Series("bytes", sizes, pl.Int64)).lazy()


@given(st.lists(st.sampled_from(MESSAGES)))
def test_every_message_is_lost_or_there_once_and_what_is_beyond_is_doubled(landed):
    found = counted(coordinates(landed), len(MESSAGES))
    times = Counter(landed)
    assert found.rows == len(landed)
    assert found.lost == sum(times[message] == 0 for message in MESSAGES)
    assert found.doubled == sum(times[message] - 1 for message in times)
    assert found.bytes == sum(10 * partition + offset for partition, offset in times)
