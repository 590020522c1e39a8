"""Logs of programs: their end, and every line that follows, however the log is rotated."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stack.log
from stack.log import follow, last_lines


class NothingMoreError(Exception):
    """The script of a test has come to its end."""


def followed(log, *pauses, count=10):
    """All lines told, while each pause of the follower is used to do something."""
    script = iter(pauses)

    def pause(_seconds):
        try:
            happens = next(script)
        except StopIteration:
            raise NothingMoreError from None
        happens()

    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack.log.time, "sleep", pause)
        with contextlib.suppress(NothingMoreError):
            lines.extend(follow(log, count))
    return lines


@pytest.fixture
def log(tmp_path):
    return tmp_path / "kafka.log"


def adds(log, text):
    def add():
        with log.open("a") as file:
            file.write(text)

    return add


def rotates(log):
    def rotate():
        log.replace(log.with_suffix(".log.1"))

    return rotate


def test_the_end_of_a_log_is_so_many_lines(log):
    log.write_text("one\ntwo\nthree")
    assert last_lines(log, 2) == ["two", "three"]
    assert last_lines(log, 0) == []
    assert last_lines(log, 10) == ["one", "two", "three"]


def test_a_log_that_is_not_there_has_no_lines(log):
    assert last_lines(log, 5) == []


def test_bytes_that_are_no_text_are_shown_as_well_as_can_be(log):
    log.write_bytes(b"d\xe9j\xe0 vu\n")
    assert last_lines(log, 5) == ["d\N{REPLACEMENT CHARACTER}j\N{REPLACEMENT CHARACTER} vu"]


def test_following_begins_with_the_end_and_continues_with_what_is_added(log):
    log.write_text("one\ntwo\nthree\n")
    assert followed(log, adds(log, "four\nfive\n"), count=2) == ["two", "three", "four", "five"]


def test_half_a_line_is_told_once_it_is_whole(log):
    log.write_text("one\ntw")
    assert followed(log, adds(log, "o, th"), adds(log, "ree\n")) == ["one", "two, three"]


def test_what_was_written_just_before_a_rotation_is_told(log):
    log.write_text("one\n")

    def last_words():
        adds(log, "two\nthree")()
        rotates(log)()
        adds(log, "four\n")()

    assert followed(log, last_words) == ["one", "two", "three", "four"]


def test_what_is_written_and_rotated_while_the_follower_asks_is_told_line_by_line(log, monkeypatch):
    log.write_text("one\n")
    ask = stack.log._is_replaced
    pending = [lambda: [adds(log, "two\nthree\n")(), rotates(log)(), adds(log, "four\n")()]]

    def asks(*question):
        while pending:
            pending.pop()()
        return ask(*question)

    monkeypatch.setattr(stack.log, "_is_replaced", asks)
    assert followed(log) == ["one", "two", "three", "four"]


def test_a_log_that_is_cut_to_nothing_is_followed_from_its_beginning(log):
    log.write_text("one\ntwo\n")
    assert followed(log, lambda: log.write_text("new\n")) == ["one", "two", "new"]


def test_a_log_that_does_not_exist_yet_is_waited_for_and_not_made(log):
    assert followed(log, lambda: None, adds(log, "one\n"), count=0) == ["one"]
    log.unlink()
    followed(log, lambda: None)
    assert not log.exists()


@given(
    st.lists(
        st.tuples(
            st.text("ab\n", max_size=8),
            st.booleans(),
            st.text("ab\n", max_size=8),
        ),
        max_size=12,
    )
)
def test_every_line_is_told_once_and_in_order_over_all_rotations(tmp_path_factory, happenings):
    log = tmp_path_factory.mktemp("log") / "kafka.log"
    log.touch()
    written = [""]

    def happens(before, is_rotated, after):
        adds(log, before)()
        written[-1] += before
        if is_rotated:
            rotates(log)()
            written.append("")
        adds(log, after)()
        written[-1] += after

    told = followed(log, *[lambda h=h: happens(*h) for h in happenings], lambda: None)
    *rotated, current = written
    expected = [line for text in rotated for line in text.splitlines()]
    assert told == expected + current.split("\n")[:-1]
