"""Divisors of the benchmark of live: each of both by what it did itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.live import Reading

START = datetime(2026, 1, 1, tzinfo=UTC)
SESSION = (7, START)
BEFORE = Reading(live=1, raw=1, sessions={SESSION: 10}, applied=100, copied=500, behind=0)
AFTER = Reading(live=5, raw=3, sessions={SESSION: 11}, applied=300, copied=900, behind=200)


def test_what_each_took_is_divided_by_what_it_did_itself():
    assert AFTER.since(BEFORE) == {
        "changes_applied": 200,
        "changes_copied": 400,
        "changes_behind_at_end": 200,
        "live_microseconds": 20_000,
        "raw_copy_microseconds": 5_000,
        "ratio": 4,
        "database_microseconds": 5_000,
    }


@pytest.mark.parametrize(
    ("after", "message"),
    [
        pytest.param(
            replace(AFTER, sessions={(7, START + timedelta(seconds=1)): 1}), "again", id="session"
        ),
        pytest.param(replace(AFTER, applied=100), "nothing to compare", id="applied"),
        pytest.param(replace(AFTER, copied=500), "nothing to compare", id="copied"),
    ],
)
def test_reading_that_cannot_be_compared_is_refused(after, message):
    with pytest.raises(RuntimeError, match=message):
        after.since(BEFORE)
