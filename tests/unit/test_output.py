"""What commands print for people."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cli import output
from lakehouse.shop_time import AmbiguousTimeError, parsed_instant, shop_time

WORDS = st.text("abcdefghij_.:/", min_size=1, max_size=30)
CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**12), 10**12), WORDS,
    st.lists(WORDS, min_size=1, max_size=8).map(" ".join),
)  # fmt: skip


@st.composite
def tables(draw):
    names = draw(st.lists(WORDS, min_size=1, max_size=9, unique=True))
    row = st.fixed_dictionaries(dict.fromkeys(names, CELLS))
    return draw(st.lists(row, min_size=1, max_size=4))


def printed(monkeypatch, rows, width):
    console = Console(width=width, highlight=False, emoji=False)
    monkeypatch.setattr(output, "console", console)
    with console.capture() as told:
        output.print_rows(rows, title="What there is")
    return told.get()


@given(rows=tables(), width=st.integers(40, 140))
def test_no_word_of_a_table_is_cut_and_no_line_is_wider_than_the_terminal(rows, width):
    with pytest.MonkeyPatch.context() as monkeypatch:
        text = printed(monkeypatch, rows, width)
    lines = [line.rstrip() for line in text.splitlines()]
    assert "…" not in text
    for row in rows:
        for value in row.values():
            for word in str(output._text(value)).split():
                # Where even a line for each value is too narrow, the terminal folds the word.
                is_folded = len(word) + max(map(len, row)) + 2 > width
                assert is_folded or any(word in line for line in lines), word
    assert max(map(len, lines)) <= width


def test_table_that_cannot_fit_is_printed_as_a_line_for_each_value(monkeypatch):
    rows = [{"table": "cleaned_stock_movements", "at": "a" * 30, "of": "b" * 30}]
    assert printed(monkeypatch, rows, 60).split() == [
        "What", "there", "is", "table", "cleaned_stock_movements", "at", "a" * 30, "of", "b" * 30,
    ]  # fmt: skip


def test_times_are_the_shops_and_name_their_zone(monkeypatch):
    moment = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    assert shop_time(moment) == "2026-07-02 00:30:00 CEST"
    monkeypatch.setenv("SHOP_TIME_ZONE", "America/New_York")
    assert shop_time(moment) == "2026-07-01 18:30:00 EDT"
    assert "2026-07-01 18:30:00 EDT" in printed(monkeypatch, [{"at": moment}], 80)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1)))  # noqa: DTZ001 - as on a wall
def test_time_as_the_shops_clock_shows_it_is_read_back_or_refused(wall):
    try:
        instant = parsed_instant(wall.isoformat())
    except AmbiguousTimeError:
        assert wall.month in (3, 9, 10)
        return
    assert shop_time(instant).startswith(f"{wall:%Y-%m-%d %H:%M:%S}")
