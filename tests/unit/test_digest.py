"""Digests of tables: of what they hold, and of nothing else."""

import random
from datetime import UTC, date, datetime

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.digest import Digest, digest

SCHEMA = {
    "key": pl.Int64,
    "text": pl.String,
    "bytes": pl.Binary,
    "at": pl.Datetime("us", "UTC"),
    "day": pl.Date,
    "headers": pl.List(pl.Struct({"key": pl.String, "value": pl.Binary})),
    "blobs": pl.List(pl.Binary),
    "days": pl.List(pl.Date),
    "sums": pl.List(pl.Decimal(5, 2)),
}
headers = st.none() | st.lists(
    st.fixed_dictionaries(
        {"key": st.sampled_from(["a", "b"]), "value": st.none() | st.binary(max_size=1)}
    ),
    max_size=2,
)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.integers(0, 5),
            "text": st.none() | st.text(max_size=3),
            "bytes": st.none() | st.binary(max_size=3),
            "at": st.none() | st.just(datetime(2026, 11, 25, tzinfo=UTC)),
            "day": st.none() | st.just(date(2026, 11, 25)),
            "headers": headers,
            "blobs": st.none() | st.lists(st.none() | st.binary(max_size=1), max_size=2),
            "days": st.none() | st.lists(st.dates(date(2026, 1, 1), date(2026, 1, 2)), max_size=2),
            "sums": st.none() | st.lists(st.decimals(0, 1, places=2), max_size=1),
        }
    ),
    max_size=8,
)


def frame(found):
    return pl.DataFrame(found, schema=SCHEMA)


@given(found=rows, seed=st.integers(0, 9), cut=st.integers(0, 8))
def test_digest_is_that_of_the_rows_whatever_their_order_and_files(found, seed, cut):
    whole = digest(frame(found).lazy())
    mixed = random.Random(seed).sample(found, len(found))
    columns = sorted(SCHEMA, reverse=True)
    parts = [frame(part).select(columns) for part in (mixed[:cut], mixed[cut:])]
    assert digest(pl.concat(parts).lazy()) == whole
    assert digest(parts[0].lazy()).plus(digest(parts[1].lazy())) == whole
    assert whole.rows == len(found)


@given(found=rows, other=rows)
def test_tables_that_differ_have_other_digests(found, other):
    is_same = sorted(map(repr, frame(found).rows())) == sorted(map(repr, frame(other).rows()))
    assert (digest(frame(found).lazy()) == digest(frame(other).lazy())) == is_same


def test_digest_stays_the_same_from_one_version_to_the_next():
    rows = [{"key": 1, "text": "é", "bytes": b"\xff", "at": datetime(2026, 1, 1, tzinfo=UTC),
             "day": date(2026, 1, 1), "headers": [{"key": "h", "value": None}]}]  # fmt: skip
    known = pl.DataFrame(rows, schema={name: SCHEMA[name] for name in rows[0]})
    assert str(digest(known.lazy())) == "1:ac6bff8d19887162"
    assert str(Digest()) == "0:0000000000000000"
