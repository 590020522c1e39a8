"""Each transaction is written once, whatever becomes of the connection and of the answers."""

from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import RetryLaterError, StopPipelineError
from producers.changes import Changes
from producers.writer import Progress, ShopChangedError, Writer

NOW = datetime(2026, 11, 24, tzinfo=UTC)
FATES = ("committed", "answer lost", "lost before commit", "lost while writing")


class Database:
    """What survives: the changes committed, in order, by the number they were committed under.

    `fates`: of each attempt at a transaction. `doors`: of each attempt to connect: open, refused,
    or locked by a session that has not ended yet.
    """

    def __init__(self, fates=(), doors=()):
        self.fates = list(fates)
        self.doors = list(doors)
        self.committed = []
        self.connections = 0

    def connect(self):
        door = self.doors.pop(0) if self.doors else "open"
        if door == "refused":
            raise psycopg.OperationalError(door)
        if door == "locked":
            return None
        self.connections += 1
        session = Session(self)
        done = len(self.committed)
        return session, session, Progress(transactions=done, orders=0, last_timestamp=None)


class Session:
    """A connection and the statements over it, in one."""

    def __init__(self, database):
        self.database = database
        self.is_lost = False
        self.pending = None

    def close(self):
        self.is_lost = True

    @contextmanager
    def transaction(self):
        assert not self.is_lost
        self.fate = self.database.fates.pop(0) if self.database.fates else "committed"
        yield
        if self.fate == "lost before commit":
            self.lose()
        self.database.committed.append(self.pending)
        if self.fate == "answer lost":
            self.lose()

    def apply(self, changes):
        if self.fate == "lost while writing":
            self.lose()
        if self.fate == "refused":
            raise psycopg.errors.UndefinedColumn
        if self.fate == "rows gone":
            raise psycopg.errors.ForeignKeyViolation
        self.pending = changes
        return Counter({("orders", "inserted"): 1})

    def execute(self, _query, values):
        return self

    @property
    def rowcount(self):
        return 1

    def lose(self):
        self.is_lost = True
        message = "server closed the connection unexpectedly"
        raise psycopg.OperationalError(message)


class Patience(Event):
    """Waits in no time, and is set after so many waits."""

    def __init__(self, waits=10_000):
        super().__init__()
        self.left = waits
        self.waited = []

    def wait(self, timeout=None):
        self.waited.append(timeout)
        self.left -= 1
        return self.left < 0


def writer_to(database, monkeypatch_context, patience=None):
    monkeypatch_context.setattr(Writer, "_connect", lambda _: database.connect())
    return Writer("", longest_pause_seconds=5, stopping=patience or Patience())


def some_changes():
    changes = Changes()
    changes.last_timestamp = NOW
    return changes


@given(
    st.lists(st.sampled_from(FATES), max_size=12),
    st.lists(st.sampled_from(["open", "refused", "locked"]), max_size=12),
)
def test_each_transaction_is_committed_once_and_in_order(fates, doors):
    database, wanted = Database(fates, ["open", *doors]), [some_changes() for _ in range(4)]
    with pytest.MonkeyPatch.context() as patch, writer_to(database, patch) as writer:
        tallies = [writer.write(changes) for changes in wanted]
    assert [id(c) for c in database.committed] == [id(c) for c in wanted]
    assert all(tally["orders", "inserted"] == 1 for tally in tallies)
    assert writer.progress.transactions == 4


def test_a_commit_whose_answer_is_lost_is_looked_up_and_not_done_again(monkeypatch):
    database = Database(["answer lost"])
    with writer_to(database, monkeypatch) as writer:
        writer.write(some_changes())
    assert len(database.committed) == 1
    assert database.connections == 2


def test_pauses_grow_up_to_the_longest(monkeypatch):
    patience = Patience()
    database = Database(["lost before commit"], ["open", *["refused"] * 9])
    with writer_to(database, monkeypatch, patience) as writer:
        writer.write(some_changes())
    assert len(patience.waited) == 10
    assert patience.waited[0] < 0.3
    assert all(4 <= pause <= 6 for pause in patience.waited[-4:])


def test_told_to_stop_while_the_database_is_away_it_gives_up(monkeypatch):
    database = Database(["lost before commit"], ["open", *["refused"] * 9])
    with (
        writer_to(database, monkeypatch, Patience(waits=3)) as writer,
        pytest.raises(RetryLaterError, match="resumes from the last commit"),
    ):
        writer.write(some_changes())
    assert database.committed == []


def test_rows_that_others_removed_are_an_error_of_their_own(monkeypatch):
    with writer_to(Database(["rows gone"]), monkeypatch) as writer:
        with pytest.raises(ShopChangedError):
            writer.write(some_changes())
        writer.write(some_changes())


def test_a_refusal_is_not_retried(monkeypatch):
    with (
        writer_to(Database(["refused"]), monkeypatch) as writer,
        pytest.raises(StopPipelineError, match="not as this version expects it"),
    ):
        writer.write(some_changes())


def test_a_second_simulator_is_refused(monkeypatch):
    database = Database(doors=["locked"] * 1_000)
    with pytest.raises(StopPipelineError, match="Another simulator"):
        writer_to(database, monkeypatch)


def test_a_simulator_that_was_just_killed_is_waited_for(monkeypatch):
    """Its session ends a moment after it."""
    database = Database(doors=["locked", "locked"])
    with writer_to(database, monkeypatch) as writer:
        writer.write(some_changes())
    assert len(database.committed) == 1


def test_a_database_that_is_down_at_the_start_is_said_so_at_once(monkeypatch):
    with pytest.raises(StopPipelineError, match=r"does not answer.*\./pipeline up"):
        writer_to(Database(doors=["refused"]), monkeypatch)
