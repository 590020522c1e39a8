"""Failures of the connector, as Connect tells them, and what a person reads."""

from datetime import UTC, datetime

import pytest

from connectors.health import Health, slot_problems, state_problems
from connectors.plain_words import explain
from connectors.rest import ConnectorState, read_state
from connectors.slot import Slot, lacks_publication

FAILED_SEND = """org.apache.kafka.connect.errors.ConnectException: Unrecoverable exception
\tat org.apache.kafka.connect.runtime.AbstractWorkerSourceTask.maybeThrowProducerSendException
Caused by: org.apache.kafka.common.errors.RecordTooLargeException: The message is 2048605 bytes \
when serialized which is larger than 100000, which is the value of the max.request.size \
configuration."""
REFUSED_LOGIN = """org.apache.kafka.connect.errors.ConnectException: Non-retriable failure \
obtaining database encoding; failing task.
\tat io.debezium.connector.postgresql.PostgresConnectorTask.start
Caused by: io.debezium.DebeziumException: Couldn't obtain encoding for database shop
\t... 12 more
Caused by: org.postgresql.util.PSQLException: FATAL: password authentication failed for user \
"debezium"
\t... 13 more"""
SLOT_GONE = """io.debezium.DebeziumException: The connector is trying to read change stream \
starting at PostgresOffsetContext [lsn=LSN{0/3978200}], but this is no longer available on the \
server. Reconfigure the connector to use a snapshot mode when needed.
\tat io.debezium.connector.common.BaseSourceTask.validateSchemaHistory"""
REFUSED = (
    "Kafka Connect refuses (400): Connector configuration is invalid and contains the following "
    "1 error(s):\nError while validating connector config: "
)


@pytest.mark.parametrize(
    ("trace", "meaning", "advice"),
    [
        (SLOT_GONE, "replication slot was dropped", "connect apply --accept-loss"),
        (
            'PSQLException: ERROR: cannot read from logical replication slot "dbz_shop"\n  Detail: '
            "This slot has been invalidated because it exceeded the maximum reserved size.",
            "slot is lost",
            "extract --full",
        ),
        (
            'PSQLException: ERROR: replication slot "dbz_shop" is active for PID 4711',
            "process 4711",
            "Stop the other connector",
        ),
        (
            "ConnectException: An exception occurred in the change event producer.\nCaused by: "
            "ConnectException: Publication autocreation is disabled, please create one and "
            "restart the connector.",
            "publication is missing",
            "./pipeline up",
        ),
        (
            'PSQLException: ERROR: publication "dbz_shop" does not exist\n  Where: slot "dbz", '
            'output plugin "pgoutput", in the change callback, associated LSN 0/1A2B3C',
            "does not get past changes",
            "connect apply --accept-loss",
        ),
        (REFUSED_LOGIN, "refuses the password", "./pipeline up"),
        (
            "PSQLException: SSL error: PKIX path building failed: unable to find valid "
            "certification path to requested target\n\t... 13 more",
            "TLS between Connect and the shop's database failed: SSL error: PKIX path",
            "Correct OLTP_SSL",
        ),
        (
            'PSQLException: FATAL: no pg_hba.conf entry for host "h", user "debezium", database '
            '"shop", no encryption',
            'does not admit Connect: no pg_hba.conf entry for host "h"',
            "if it asks for TLS, set OLTP_SSL",
        ),
        (
            'PSQLException: FATAL: no pg_hba.conf entry for host "h", user "debezium", database '
            '"shop", SSL encryption',
            'does not admit Connect: no pg_hba.conf entry for host "h"',
            "Add a line for role debezium; then",
        ),
        (
            "PSQLException: Could not read SSL key file /etc/shop/me.key.",
            "failed: Could not read SSL key file /etc/shop/me.key",
            "Connect has to be able to read",
        ),
        (
            "IllegalArgumentException: Unexpected value for JDBC type 4 and column id "
            "interval(10, 0) NOT NULL: class=org.postgresql.util.PGInterval",
            "whose column id is of another type",
            "connect resnapshot",
        ),
        (
            REFUSED + "Postgres roles LOGIN and REPLICATION are not assigned to user: debezium",
            "right to log in or to replicate",
            "./pipeline up",
        ),
        (
            "PSQLException: ERROR: permission denied for table heartbeat",
            "may not use heartbeat",
            "grant",
        ),
        (
            "PSQLException: ERROR: query would be affected by row-level security policy for table "
            '"orders"',
            "hides rows of orders from role debezium",
            "alter role debezium bypassrls",
        ),
        (
            "DebeziumException: Table 'public.names' has columns that differ only by case. Column "
            "name: 'Id'.",
            "columns of public.names differ in the case",
            "connect resnapshot",
        ),
        (
            REFUSED + 'FATAL: database "nodb" does not exist',
            "Database nodb does not exist",
            "OLTP_DATABASE",
        ),
        (
            REFUSED + "Connection to 127.0.0.1:1 refused. Check that the hostname and port are "
            "correct and that the postmaster is accepting TCP/IP connections.",
            "does not answer",
            "./pipeline status",
        ),
        (FAILED_SEND, "larger than Kafka takes (2048605 bytes)", "Set CONNECT_MAX_ROW_MB"),
        (
            "org.apache.kafka.common.errors.TopicAuthorizationException: Not authorized to access "
            "topics: [shop.public.orders]",
            "does not let Connect write",
            "Allow",
        ),
        (
            "PSQLException: FATAL: all replication slots are in use",
            "no slot or connection left",
            "max_replication_slots",
        ),
        (
            "Failed to find any class that implements Connector and which name matches io.x",
            "does not have the Debezium plugin",
            "./pipeline up",
        ),
        (
            "IllegalArgumentException: Connect has no salt for hashes\n\tat masks.ColumnMasks",
            "it lacks the salt",
            "./pipeline up",
        ),
        ("java.lang.OutOfMemoryError: Java heap space", "out of memory", "CONNECT_HEAP_MB"),
    ],
)
def test_known_failure_is_said_in_plain_words_with_what_to_type(trace, meaning, advice):
    words = explain(trace)
    assert meaning in words
    assert advice in words
    assert "Exception" not in words
    assert "{" not in words
    assert " ." not in words.replace(" ./", "")


def test_unknown_failure_is_shortened_to_its_cause():
    words = explain("org.x.Wrapper: outer\n\tat a.b(C.java:1)\nCaused by: org.y.Inner: the cause\n")
    assert words.startswith("org.y.Inner: the cause.")
    assert "./pipeline logs connect" in words
    assert "C.java" not in words


def test_failure_without_a_trace_still_says_what_to_do():
    assert explain("") == (
        "Connect gives no reason. Details: ./pipeline logs connect. Try again: ./pipeline connect "
        "apply"
    )


def slot(**facts):
    healthy = {
        "is_active": True,
        "wal_status": "reserved",
        "invalidation_reason": None,
        "confirmed_position": "0/16B3748",
        "lag_bytes": 1_000,
        "held_bytes": 2_000,
        "limit_bytes": 10_000,
        "inactive_seconds": None,
        "asked_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Slot(**healthy | facts)


def test_healthy_slot_is_no_problem():
    assert slot_problems("dbz_shop", slot(), None) == []
    assert slot_problems("dbz_shop", slot(is_active=False, inactive_seconds=2.0), None) == []


def test_publication_that_is_missing_is_told_though_connect_and_its_slot_run():
    [problem] = slot_problems("dbz_shop", slot(has_publication=False), None)
    assert problem.problem.startswith("The publication is missing")
    assert problem.action.startswith("./pipeline up oltp")
    assert "--accept-loss" not in problem
    before_18 = slot(has_publication=False, server_version=170_004)
    [problem] = slot_problems("dbz_shop", before_18, None)
    assert "connect apply --accept-loss" in problem


def test_slot_from_before_the_publication_is_stuck_though_connect_says_that_it_runs():
    older = slot(precedes_publication=True, server_version=170_004)
    [problem] = slot_problems("dbz_shop", older, None, 40.0)
    assert "does not get past changes" in problem
    assert "connect apply --accept-loss" in problem
    for fine, lag in (
        (older, 1.0), (older, None), (slot(precedes_publication=True), 40.0),
        (slot(server_version=170_004), 40.0),
    ):  # fmt: skip
        assert slot_problems("dbz_shop", fine, None, lag) == []
    assert not lacks_publication("", slot(precedes_publication=True), "dbz_shop")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "Replication slot dbz_shop does not exist"),
        (slot(wal_status="lost", invalidation_reason="wal_removed"), "is lost (wal_removed)"),
        (slot(is_active=False, inactive_seconds=60.0), "Slot dbz_shop has been inactive for 60 s"),
        (slot(held_bytes=9_000), "retains 90% of its WAL limit"),
    ],
)
def test_slot_that_keeps_changes_from_flowing_is_a_problem(found, words):
    [problem] = slot_problems("dbz_shop", found, None)
    assert words in problem


def test_slot_without_a_limit_has_no_share():
    assert slot(limit_bytes=None).held_share is None
    assert slot_problems("dbz_shop", slot(limit_bytes=None, held_bytes=10**12), None) == []


def state(connector="RUNNING", task="RUNNING", trace=None):
    return ConnectorState(connector=connector, task=task, trace=trace)


def test_connector_that_runs_is_no_problem():
    assert state_problems("shop", state()) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "Connector shop is not registered"),
        (state(task="FAILED", trace=REFUSED_LOGIN), "refuses the password"),
        (state(connector="PAUSED", task="PAUSED"), "is PAUSED"),
        (state(task=None), "its task not started"),
    ],
)
def test_connector_that_does_not_run_is_a_problem(found, words):
    [problem] = state_problems("shop", found)
    assert words in problem


def health(**facts):
    usual = {
        "connector": "shop",
        "state": state(),
        "slot_name": "dbz_shop",
        "slot": slot(),
        "lag_seconds": 0.5,
        "problems": (),
    }
    return Health(**usual | facts)


def test_report_has_what_a_dashboard_asks_for():
    told = health().to_json()
    assert told["is_healthy"] is True
    assert (told["connector_state"], told["task_state"]) == ("RUNNING", "RUNNING")
    assert (told["slot_lag_bytes"], told["slot_lag_seconds"]) == (1_000, 0.5)
    assert (told["wal_held_share"], told["confirmed_position"]) == (0.2, "0/16B3748")


def test_waiting_is_hopeless_only_when_somebody_has_to_act():
    assert not health().is_hopeless
    assert not health(state=state(connector="UNASSIGNED"), slot=None).is_hopeless
    assert health(state=state(task="FAILED", trace=REFUSED_LOGIN)).is_hopeless
    away = "Failed to read to end of config topic before performing zombie fencing"
    assert not health(state=state(task="FAILED", trace=away)).is_hopeless
    assert not health(state=state(task="FAILED", trace="something new")).is_hopeless
    assert health(state=state(connector="STOPPED")).is_hopeless
    assert health(slot=slot(wal_status="lost")).is_hopeless


def test_trace_of_the_task_comes_before_the_connectors():
    found = read_state(
        {
            "connector": {"state": "RUNNING", "trace": "of the connector"},
            "tasks": [{"id": 0, "state": "FAILED", "trace": "of the task"}],
        }
    )
    assert (found.task, found.trace, found.is_failed) == ("FAILED", "of the task", True)


def test_connector_without_a_task_does_not_run():
    found = read_state({"connector": {"state": "RUNNING"}, "tasks": []})
    assert (found.task, found.is_running) == (None, False)
