"""What an extraction asks for, how it continues, and what a lost slot means. Rules alone."""

from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.extraction.deletes import Check, delete_of
from batch.extraction.limit import DeleteLimit
from batch.extraction.missed import Missed
from batch.reconcile.losses import resolved
from connectors import extraction
from connectors.captured import CapturedTable, choose
from connectors.progress import (
    AGGREGATE,
    UNKNOWN,
    Progress,
    TableProgress,
    TableState,
    advance,
)
from connectors.request import Days, Request, parse_days
from connectors.rest import ConnectorState
from connectors.slot import Slot
from connectors.wal_gap import find_wal_gap, lsn_number, lsn_text
from consumers.bronze.loss import (
    LossKind,
    find_offset_loss,
    losses_of_slot,
    losses_of_truncate,
    new_rows,
    open_losses,
    resolution_of,
    resolved_by_snapshot,
)
from lakehouse.errors import Problem, RetryLaterError, StopPipelineError
from lakehouse.lake import LOSS_LEDGER_SCHEMA
from lakehouse.offsets import OffsetRange, TopicPartition

PARIS = "Europe/Paris"
TODAY = date(2026, 11, 25)
ORDERS = CapturedTable(table_name="orders", key=("order_id",), dated_by="updated_at")
VISITS = CapturedTable(table_name="visits", key=("visit_id",), dated_by="occurred_at")
KEYLESS = CapturedTable(table_name="notes", key=(), dated_by="updated_at")
UNDATED = CapturedTable(table_name="codes", key=("code",), dated_by=None)
KNOWN = {table.table_name: table for table in (ORDERS, VISITS, KEYLESS, UNDATED)}


@given(first=st.dates(date(2000, 1, 1), TODAY), more=st.integers(0, 400))
def test_days_are_whole_days_of_the_shop(first, more):
    last = first + timedelta(days=more)
    days = parse_days(str(first), str(last), time_zone=PARIS, today=TODAY)
    hours = (days.stop_at - days.start_at) / timedelta(hours=1)
    assert abs(hours - 24 * (more + 1)) <= 1  # clocks change twice a year


def test_day_begins_at_the_shops_midnight():
    days = parse_days("2026-07-01", "2026-10-25", time_zone=PARIS, today=TODAY)
    assert days.start_at == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert days.stop_at == datetime(2026, 10, 25, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        ("yesterday", None, "--since yesterday: not a date. Write it as YYYY-MM-DD"),
        ("2026-02-30", None, "--since 2026-02-30: not a date"),
        ("2026-11-01", "2026-31-01", "--until 2026-31-01: not a date"),
        ("2026-11-02", "2026-11-01", "--until 2026-11-01 lies before --since 2026-11-02"),
        ("2026-11-26", None, "lies in the future: it is 2026-11-25 in Europe/Paris"),
    ],
)
def test_days_that_are_none_are_refused_in_plain_words(since, until, words):
    with pytest.raises(StopPipelineError, match=words):
        parse_days(since, until, time_zone=PARIS, today=TODAY)


def test_tables_that_cannot_be_extracted_are_refused_if_named_and_left_out_if_not():
    assert choose(KNOWN, [], is_dated=False) == ((UNDATED, ORDERS, VISITS), ("notes",))
    assert choose(KNOWN, [], is_dated=True) == ((ORDERS, VISITS), ("codes", "notes"))
    with pytest.raises(
        StopPipelineError, match=r"no table ordres. Did you mean orders\? Tables: codes"
    ):
        choose(KNOWN, ["ordres", "orders"], is_dated=False)
    with pytest.raises(StopPipelineError, match=r"notes has no primary key.*resnapshot"):
        choose(KNOWN, ["notes"], is_dated=False)
    with pytest.raises(
        StopPipelineError, match=r"codes has no timestamptz column that dates.*--full"
    ):
        choose(KNOWN, ["codes"], is_dated=True)


def test_signal_names_tables_and_the_days_of_each():
    days = Days(first=date(2026, 11, 1), last=date(2026, 11, 1), time_zone="UTC")
    asked = orjson.loads(Request(tables=(ORDERS, VISITS), days=days).data())
    assert asked["type"] == "incremental"
    assert asked["data-collections"] == ["public.orders", "public.visits"]
    by_table = {c["data-collection"]: c["filter"] for c in asked["additional-conditions"]}
    assert by_table["public.orders"] == (
        "(updated_at >= timestamptz '2026-11-01T00:00:00+00:00'"
        " and updated_at < timestamptz '2026-11-02T00:00:00+00:00')"
    )
    assert "occurred_at" in by_table["public.visits"]
    full = orjson.loads(Request(tables=(ORDERS,), days=None).data())
    assert "additional-conditions" not in full


def test_parent_is_asked_for_without_the_rows_of_those_that_inherit_from_it():
    parent = CapturedTable(
        table_name='it\'s "a" parent', key=("id",), dated_by="updated_at", has_children=True
    )
    [asked] = orjson.loads(Request(tables=(parent, ORDERS), days=None).data())[
        "additional-conditions"
    ]
    assert asked["filter"] == """(tableoid = 'public."it''s ""a"" parent"'::regclass)"""
    assert "orders" not in asked["data-collection"]
    days = Days(first=date(2026, 11, 1), last=None, time_zone="UTC")
    asked = orjson.loads(Request(tables=(parent, ORDERS), days=days).data())
    told = {("tableoid" in one["filter"], "updated_at >=" in one["filter"])
            for one in asked["additional-conditions"]}  # fmt: skip
    assert told == {(True, True), (False, True)}


def missed(gone, living):
    keys = pl.DataFrame({"key": [str(number) for number in range(gone)]}, schema={"key": pl.String})
    return Missed(gone=keys, living=living)


COUNTS = st.integers(0, 400).flatmap(
    lambda gone: st.tuples(st.just(gone), st.integers(gone, 10 * gone + 100))
)
TABLES = st.dictionaries(st.sampled_from(["orders", "payments", "visits"]), COUNTS)


@given(tables=TABLES, allowed=st.none() | st.integers(0, 600))
def test_many_deletes_are_refused_unless_somebody_allows_as_many(tables, allowed):
    limit = DeleteLimit(allowed=allowed)
    found = {name: missed(*counts) for name, counts in tables.items()}
    if allowed is None:
        named = {n for n, (gone, keys) in tables.items() if gone >= 100 and gone > keys / 20}
    else:
        is_more = sum(gone for gone, _ in tables.values()) > allowed
        named = {n for n, (gone, _) in tables.items() if gone and is_more}
    with pytest.raises(StopPipelineError) if named else nullcontext() as refused:
        limit.require(found)
    if named:
        words = str(refused.value)
        assert {name for name in tables if f"{name} " in words} == named
        total = int(words.split("--allow-deletes ")[-1].split()[0].rstrip("."))
        # To the letter: the number that it names is enough.
        DeleteLimit(max_share=0, min_rows=1, allowed=total).require(found)


def test_table_of_few_rows_may_be_emptied_and_one_of_many_is_named_with_keys_and_share():
    limit = DeleteLimit()
    limit.require({"codes": missed(99, 99)})
    limit.require({"visits": missed(5_000, 100_000)})
    with pytest.raises(
        StopPipelineError,
        match=r"customers 866 of 866 rows \(100\.0%\), e.g. 0, 1, 2, 3, 4, …\. That is more than "
        r"5% of a table, and at least 100 rows.*No delete was written.*--allow-deletes 869 ",
    ):
        limit.require({"customers": missed(866, 866), "codes": missed(3, 99)})


def test_equal_requests_are_known_by_their_digest_and_others_are_not():
    one, again = (Request(tables=(ORDERS, VISITS), days=None).digest for _ in range(2))
    day = Days(first=TODAY, last=None, time_zone=PARIS)
    others = {
        Request(tables=(ORDERS,), days=None).digest,
        Request(tables=(ORDERS, VISITS), days=day).digest,
    }
    assert one == again
    assert one not in others
    assert len(others) == 2


def test_request_that_does_not_go_into_a_signal_is_refused():
    many = [CapturedTable(table_name=f"table_{n}", key=("id",), dated_by=None) for n in range(200)]
    with pytest.raises(StopPipelineError, match="200 tables are too many"):
        Request(tables=tuple(many), days=None).data()


def tell(kind, *, of="us", **data):
    return {"id": of, "aggregate_type": AGGREGATE, "type": kind, "additional_data": data}


STARTED = tell("STARTED", data_collections="public.orders,public.visits")
READING = tell(
    "IN_PROGRESS", current_collection_in_progress="public.orders",
    maximum_key="200", last_processed_key="50",
)  # fmt: skip
ORDERS_READ = tell(
    "TABLE_SCAN_COMPLETED", scanned_collection="public.orders", status="SUCCEEDED",
    total_rows_scanned="200",
)  # fmt: skip
VISITS_EMPTY = tell(
    "TABLE_SCAN_COMPLETED", scanned_collection="public.visits", status="EMPTY",
    total_rows_scanned="200",
)  # fmt: skip
COMPLETED = tell("COMPLETED")


def after(*told):
    progress = Progress(id="us")
    for one in told:
        progress = advance(progress, one)
    return progress


def states(progress):
    return {table.table: table.state for table in progress.tables}


def test_extraction_is_complete_when_every_table_was_read():
    found = after(STARTED, READING, ORDERS_READ, VISITS_EMPTY, COMPLETED)
    assert found.is_complete
    assert [(t.table, t.rows) for t in found.tables] == [("orders", 200), ("visits", 0)]


def test_progress_is_told_by_keys():
    [orders, visits] = after(STARTED, READING).tables
    assert (orders.state, orders.share) == (TableState.READING, 0.25)
    assert (visits.state, visits.share) == (TableState.WAITING, None)


def test_extraction_that_was_stopped_is_not_complete_though_debezium_calls_it_so():
    found = after(STARTED, READING, COMPLETED)
    assert found.is_over
    assert not found.is_complete
    assert set(states(found).values()) == {TableState.STOPPED}


def test_table_that_could_not_be_read_is_told_with_the_reason():
    failed = tell(
        "TABLE_SCAN_COMPLETED", scanned_collection="public.visits", status="SQL_EXCEPTION",
        total_rows_scanned="0",
    )  # fmt: skip
    found = after(STARTED, ORDERS_READ, failed, COMPLETED)
    assert not found.is_complete
    assert [t.reason for t in found.tables] == [None, "SQL_EXCEPTION"]


def test_pause_lasts_until_it_continues_or_the_connector_forgets_it():
    paused = after(STARTED, tell("PAUSED", data_collections="public.orders"))
    assert paused.is_paused
    assert not advance(paused, tell("RESUMED", data_collections="public.orders")).is_paused
    assert not advance(paused, READING).is_paused


@given(st.permutations([STARTED, READING, ORDERS_READ, VISITS_EMPTY, COMPLETED]))
def test_what_is_told_of_others_says_nothing(told):
    strange = [{**one, "id": "others"} for one in told]
    strange += [{**one, "aggregate_type": "Initial Snapshot"} for one in told]
    assert after(*strange) == Progress(id="us")


def slot(position, *, reason=None):
    return Slot(
        is_active=False, wal_status="reserved", invalidation_reason=reason,
        confirmed_position=position, lag_bytes=0, held_bytes=0, limit_bytes=None,
        inactive_seconds=0.0, asked_at=datetime.now(tz=UTC),
    )  # fmt: skip


@given(st.integers(0, 2**64 - 1))
def test_position_is_read_as_postgres_writes_it(number):
    assert lsn_number(lsn_text(number)) == number


def test_slot_that_is_gone_lost_or_made_again_has_an_offset_gap():
    assert find_wal_gap(100, slot("0/64")) is None
    assert find_wal_gap(100, slot("0/63")) is None
    assert find_wal_gap(None, None) is None, "Connect never began: it reads everything"
    again = find_wal_gap(100, slot("0/65"))
    assert (again.last, again.first) == (100, 101)
    assert find_wal_gap(100, None).first is None
    assert find_wal_gap(100, slot("0/63", reason="wal_removed")).first is None


PLACES = [TopicPartition(topic="shop.public.orders", topic_id="id", partition=p) for p in (0, 1)]


AT = datetime(2026, 11, 25, 12, tzinfo=UTC)


def recorded(losses, rows=(), now=AT):
    """The ledger's rows once these losses were recorded."""
    return [*rows, *new_rows(losses, rows, now)]


def lost_at(*ends):
    return losses_of_slot(dict(zip(PLACES, ends, strict=True)), "changes")


def test_reading_again_resolves_the_losses_that_are_open_each_once():
    lost = lost_at(7, 0)
    assert [(one.kind, one.first_offset, one.last_offset) for one in lost] == [
        (LossKind.SLOT_LOST, 7, None),
        (LossKind.SLOT_LOST, 0, None),
    ]
    rows = recorded(lost)
    resolved = resolved_by_snapshot(rows, {PLACES[0]: 20, PLACES[1]: 5}, "read")
    assert [(one.first_offset, one.last_offset) for one in resolved] == [(7, 19), (0, 4)]
    rows = recorded(resolved, rows)
    assert resolved_by_snapshot(rows, {PLACES[0]: 30, PLACES[1]: 9}, "read") == []


def test_truncate_is_recorded_with_its_mending_and_open_without():
    coordinate, words = PLACES[0], "read"
    [lost] = losses_of_truncate([(coordinate, OffsetRange(start=3, stop=10))])
    rows = recorded([lost])
    assert open_losses(rows) == [("id", coordinate.partition, 3)]
    resolution = resolution_of(lost, 10, words)
    assert (resolution.kind, resolution.last_offset) == (LossKind.READ_AGAIN, 9)
    assert open_losses(recorded([resolution], rows)) == []


def test_reading_one_table_again_resolves_nothing_of_another():
    other = TopicPartition(topic="shop.public.visits", topic_id="other", partition=0)
    rows = recorded(losses_of_slot({PLACES[0]: 7}, "changes"))
    assert resolved_by_snapshot(rows, {other: 20}, "read") == []


def test_what_is_recorded_already_is_not_recorded_again():
    rows = recorded(lost_at(7, 0))
    assert new_rows(lost_at(7, 0), rows, AT) == []
    resolved = resolved_by_snapshot(rows, {PLACES[0]: 20, PLACES[1]: 5}, "read")
    rows = recorded(resolved, rows)
    assert new_rows(resolved, rows, AT) == []
    partition = PLACES[0]
    expired = find_offset_loss(partition, wanted=3, oldest=7, end=9)
    assert new_rows([expired], recorded([expired], rows), AT) == []


STEPS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 1), st.integers(1, 3)),
    st.tuples(st.just("lose")),
    st.tuples(st.just("read"), st.integers(0, 2), st.integers(0, 2)),
)


@given(steps=st.lists(st.tuples(STEPS, st.integers(-5, 5)), max_size=12))
def test_loss_is_open_until_it_is_read_again_wherever_and_whenever_it_stands(steps):
    """A partition without rows does not move on when it is read; clocks are set back."""
    ends, waiting, read_up_to, rows = [5, 5], set(), {}, []
    for (step, *how), minutes in steps:
        now = AT + timedelta(minutes=minutes)
        if step == "write":
            partition, count = how
            ends[partition] += count
        elif step == "lose":
            rows = recorded(lost_at(*ends), rows, now)
            waiting |= {("id", number, end) for number, end in enumerate(ends)}
        else:
            ends = [end + count for end, count in zip(ends, how, strict=True)]
            now_at = dict(zip(PLACES, ends, strict=True))
            rows = recorded(resolved_by_snapshot(rows, now_at, "read"), rows, now)
            read_up_to |= {coordinate: ends[coordinate[1]] - 1 for coordinate in waiting}
            waiting = set()
        assert open_losses(rows) == sorted(waiting)
    found = resolved(pl.DataFrame(rows, schema=pl.Schema(LOSS_LEDGER_SCHEMA)))
    told = {(one.topic_id, one.partition, one.first): one.last for one in sum(found.values(), ())}
    assert told == read_up_to


def test_delete_tells_the_last_known_row_and_who_wrote_it():
    last = {
        "before": None, "after": {"id": 1, "v": "a"}, "op": "c", "ts_ms": 1,
        "source": {"table": "things", "txId": 5, "lsn": 6, "ts_us": 7, "snapshot": "true"},
    }  # fmt: skip
    checked_at = datetime(2026, 11, 25, 12, tzinfo=UTC)
    told = delete_of(last, Check(tx_id=2**32 + 9, lsn=77, checked_at=checked_at))
    assert (told["op"], told["before"], told["after"]) == ("d", {"id": 1, "v": "a"}, None)
    source = told["source"]
    assert (source["txId"], source["lsn"], source["synthetic"]) == (9, 77, "extract")
    assert source["ts_us"] == int(checked_at.timestamp()) * 1_000_000
    assert source["table"] == "things"


class Clock:
    """Time that passes only when somebody sleeps."""

    now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(
    ("runs_at", "error", "words"),
    [
        (lambda _: False, RetryLaterError, "has not run for 10 minutes. Kafka is away."),
        (lambda at: at % 500 < 5, None, ""),
    ],
    ids=["never", "now and then"],
)
def test_extraction_waits_for_a_connector_that_comes_back_and_not_for_ever(
    monkeypatch, runs_at, error, words
):
    clock = Clock()
    monkeypatch.setattr(extraction, "time", clock)

    def health():
        task = "RUNNING" if runs_at(clock.now) else "FAILED"
        return SimpleNamespace(
            is_hopeless=False,
            state=ConnectorState(connector="RUNNING", task=task, trace=None),
            problems=(Problem("Kafka is away", "Wait."),),
        )

    begun = after(STARTED)
    following = extraction.Extractions(
        api=SimpleNamespace(stored=lambda: SimpleNamespace(extraction_id=begun.id)),
        notifications=SimpleNamespace(
            progress=lambda _: begun if clock.now < 3000 else advance(begun, COMPLETED)
        ),
        signal_dsn="",
        health=health,
    )
    with pytest.raises(error, match=words) if error else nullcontext():
        assert following.follow(begun, lambda _: None).is_over
        assert clock.now >= 3000


def test_table_that_debezium_does_not_know_yet_is_read_after_a_start_and_no_other(monkeypatch):
    done, asked = [], []
    api = SimpleNamespace(
        stop=lambda: done.append("stop"), is_stopped=lambda: True,
        resume=lambda: done.append("resume"),
    )  # fmt: skip
    both = extraction.Extractions(
        api=api, notifications=None, signal_dsn="",
        health=lambda: SimpleNamespace(is_healthy=done == ["stop", "resume"]),
    )  # fmt: skip
    read = TableProgress(table="orders", state=TableState.READ, rows=3)
    lacking = TableProgress(table="visits", state=TableState.FAILED, reason=UNKNOWN)
    later = replace(lacking, state=TableState.READ, rows=1, reason=None)

    def start(request, _):
        asked.append([table.table_name for table in request.tables])
        return Progress(id="again")

    monkeypatch.setattr(extraction.Extractions, "start", lambda _, *given: start(*given))
    monkeypatch.setattr(
        extraction.Extractions,
        "follow",
        lambda _, one, __: replace(one, tables=(later,), is_over=True),
    )
    request = Request(tables=(ORDERS, VISITS), days=None)
    whole = Progress(id="first", tables=(read,), is_over=True)
    assert both.read_unknown(request, whole, print) is whole
    assert done == []
    found = both.read_unknown(request, replace(whole, tables=(read, lacking)), print)
    assert (asked, found.tables, found.is_complete) == ([["visits"]], (read, later), True)


def test_extraction_that_stands_still_behind_a_table_is_started_again_once(monkeypatch):
    monkeypatch.setattr(extraction, "time", Clock())
    done = []
    failed = TableProgress(table="odd", state=TableState.FAILED, reason="SQL_EXCEPTION")
    waiting = TableProgress(table="visits")
    standing = Progress(id="id", is_started=True, tables=(failed, waiting))
    read = replace(waiting, state=TableState.READ, rows=1)
    api = SimpleNamespace(
        stop=lambda: done.append("stop"), is_stopped=lambda: True,
        resume=lambda: done.append("resume"),
        stored=lambda: SimpleNamespace(extraction_id="id"),
    )  # fmt: skip
    state = ConnectorState(connector="RUNNING", task="RUNNING", trace=None)
    following = extraction.Extractions(
        api=api,
        notifications=SimpleNamespace(
            progress=lambda _: (
                replace(standing, tables=(failed, read), is_over=extraction.time.now > 60)
                if done
                else standing
            )
        ),
        signal_dsn="",
        health=lambda: SimpleNamespace(is_hopeless=False, is_healthy=True, state=state),
    )
    found = following.follow(standing, lambda _: None)
    assert (done, found.tables, found.is_complete) == (["stop", "resume"], (failed, read), False)


@pytest.mark.parametrize("reason", [UNKNOWN, "SQL_EXCEPTION"])
def test_stop_starts_an_extraction_again_that_may_stand_still_and_no_other(monkeypatch, reason):
    sent, done = [], []
    failed = TableProgress(table="odd", state=TableState.FAILED, reason=reason)
    standing = Progress(id="id", is_started=True, tables=(failed,))
    api = SimpleNamespace(
        stop=lambda: done.append("stop"), is_stopped=lambda: True,
        resume=lambda: done.append("resume"),
        stored=lambda: SimpleNamespace(extraction_id="id"),
    )  # fmt: skip
    monkeypatch.setattr(
        extraction.Extractions, "_send", lambda _, __, kind, data: sent.append((kind, data))
    )
    stopping = extraction.Extractions(
        api=api,
        notifications=SimpleNamespace(progress=lambda _: replace(standing, is_over=bool(sent))),
        signal_dsn="",
        health=lambda: SimpleNamespace(is_healthy=True),
    )
    assert stopping.stop().is_over
    assert [kind for kind, _ in sent] == ["stop-snapshot", "resume-snapshot"]
    assert bool(done) is (reason != UNKNOWN)
