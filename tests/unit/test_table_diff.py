"""What two states of a table differ in."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from batch.table_diff import EXAMPLES, Differences, compare
from lakehouse.digest import digest

SCHEMA = {"id": pl.Int64, "value": pl.String}
TABLES = st.dictionaries(st.integers(0, 5), st.sampled_from(["a", "b", None]), max_size=6)


@given(TABLES, TABLES, st.randoms())
def test_comparison_finds_each_row_that_differs_and_no_other(new, old, chance):
    fresh, stored = frame(new, chance), frame(old, chance)
    found = Differences()
    compared = compare(["id"], fresh, stored, found)
    assert found.added == len(new.keys() - old.keys())
    assert found.removed == len(old.keys() - new.keys())
    assert found.changed == sum(new[key] != old[key] for key in new.keys() & old.keys())
    written = {key: value for key, value in new.items() if (key, value) not in old.items()}
    assert dict(compared.differing.iter_rows()) == written
    assert set(compared.gone["id"]) == old.keys() - new.keys()
    assert compared.before == digest(stored.lazy())
    assert compared.after == digest(fresh.lazy())


def test_differences_beyond_the_examples_are_counted():
    few = pl.DataFrame({"id": range(EXAMPLES + 3), "value": "a"}, schema=SCHEMA)
    found = Differences()
    compare(["id"], few, few.clear(), found)
    assert (len(found.examples), found.more) == (EXAMPLES, 3)


def frame(rows, chance):
    shuffled = chance.sample(sorted(rows.items()), len(rows))
    return pl.DataFrame(shuffled, schema=SCHEMA, orient="row")
