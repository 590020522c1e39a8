"""Explanations of connector failures, by patterns in Connect's trace."""

import re
from dataclasses import dataclass

from lakehouse.errors import Problem

_PREPARE = "./pipeline up, or source check --apply for a shop elsewhere,"
HEAL = (
    "./pipeline connect apply --accept-loss records the loss in bronze/_loss_ledger and resumes "
    "streaming after it; then ./pipeline extract --full reads all tables again and writes missed "
    "deletes."
)
"""The remedy for changes that the slot has skipped."""
STUCK = (
    "The slot does not get past changes that were made while there was no publication: PostgreSQL "
    "before 18 decodes neither them nor what follows"
)
_NO_PUBLICATION = "The publication is missing; changes made without it are not captured"
_MAKE_PUBLICATION = "./pipeline up oltp, or source check --apply for a shop elsewhere, creates it"
_RESNAPSHOT = (
    "./pipeline connect resnapshot reads all tables again; then ./pipeline reconcile shows what "
    "is still missing."
)


@dataclass(frozen=True, slots=True)
class _Known:
    """A known failure: pattern in the trace, explanation and action.

    In the explanation `{}` stands for the matched group, `{size}` for that many bytes.

    Transient failures may disappear after a restart; the others need manual action.
    """

    pattern: str
    problem: str
    action: str
    is_transient: bool = False


_KNOWN = (
    _Known(
        r"no longer available on the server|removed from the database write-ahead log",
        "The replication slot was dropped, or it is past the position that Connect needs: the "
        "changes in between are not in Kafka",
        HEAL,
    ),
    _Known(
        r"can no longer (?:get changes from|access) replication slot|slot .* invalidated"
        r"|exceeded the maximum reserved size",
        "The replication slot is lost: while Connect was unavailable, more WAL was written than "
        "max_slot_wal_keep_size allows",
        HEAL,
    ),
    _Known(
        r"replication slot \S+ is active for PID (\d+)",
        "Another client (process {} of the shop's database) reads Connect's replication slot",
        "Stop the other connector; this one is restarted automatically.",
        is_transient=True,
    ),
    _Known(
        r"Publication autocreation is disabled",
        _NO_PUBLICATION,
        f"{_PREPARE} creates it again. {_RESNAPSHOT}",
    ),
    _Known(
        r"publication \S+ does not exist",
        STUCK,
        f"{_PREPARE} creates the publication, if it is missing. Then {HEAL}",
    ),
    _Known(
        r"password authentication failed for user|no password was provided",
        "The shop's database refuses the password of role debezium",
        f"{_PREPARE} sets the password of the secrets file again; then ./pipeline connect apply.",
    ),
    _Known(
        r"(SSL error: [^\n]+|[^\n:]*The hostname [^\n]+ could not be verified[^\n]*"
        r"|Could not [^\n]*SSL [^\n]+|The server does not support SSL"
        r"|connection requires a valid client certificate)",
        "TLS between Connect and the shop's database failed: {}",
        "Correct OLTP_SSL or the files that it names, which Connect has to be able to read; then "
        "./pipeline connect apply.",
    ),
    _Known(
        r"(no pg_hba\.conf entry[^\n]+SSL encryption)",
        "pg_hba.conf of the shop's database does not admit Connect: {}",
        "Add a line for role debezium; then ./pipeline connect apply.",
    ),
    _Known(
        r"(no pg_hba\.conf entry[^\n]+no encryption)",
        "pg_hba.conf of the shop's database does not admit Connect: {}",
        "Add a line for role debezium, or, if it asks for TLS, set OLTP_SSL; then ./pipeline "
        "connect apply.",
    ),
    _Known(
        r"must be superuser or replication role|roles LOGIN and REPLICATION|is not permitted to "
        r"log in|permission denied to (?:start WAL sender|use replication slots)"
        r"|permission denied for database",
        "Role debezium lacks the right to log in or to replicate",
        f"{_PREPARE} grants it again; then ./pipeline connect apply.",
    ),
    _Known(
        r"permission denied for (?:table|schema|function) (\S+)",
        "Role debezium may not use {}",
        "./pipeline up grants it again (or: grant select on it to debezium); then ./pipeline "
        "connect apply.",
    ),
    _Known(
        r"affected by row-level security policy for table (\S+)",
        "Row-level security hides rows of {} from role debezium, so that a snapshot would lack "
        "them",
        "As admin: alter role debezium bypassrls; alter role reconcile bypassrls. Then ./pipeline "
        "connect apply.",
    ),
    _Known(
        r"database (\S+) does not exist",
        "Database {} does not exist",
        "Is OLTP_DATABASE right? ./pipeline up creates it.",
    ),
    _Known(
        r"wal_level",
        "The WAL of the shop's database is not written for logical decoding",
        "Set wal_level = logical and restart it: ./pipeline down, ./pipeline up.",
    ),
    _Known(
        r"all replication slots are in use|exceeds max_wal_senders|too many connections for role"
        r"|remaining connection slots are reserved|too many clients already",
        "The shop's database has no slot or connection left for Connect",
        "Raise max_replication_slots, max_wal_senders or max_connections, or end other clients.",
        is_transient=True,
    ),
    _Known(
        r"RecordTooLargeException(?:: The message is (\d+) bytes)?|MessageSizeTooLarge"
        r"|RECORD_TOO_LARGE",
        "The change of one row, with its old and its new values, is larger than Kafka takes {size}",
        "Set CONNECT_MAX_ROW_MB to more than that, 90 MB at most, and run ./pipeline connect "
        "apply: that raises the limits of producer and topics. Nothing is lost meanwhile.",
    ),
    _Known(
        r"Table '([^']+)' has columns that differ only by case",
        "Two columns of {} differ in the case of their names only, and Debezium reads no change of "
        "any table after one of that",
        "As admin, rename one of them. The log still has the changes before: ./pipeline connect "
        "resnapshot; then ./pipeline extract --full.",
    ),
    _Known(
        r"Unexpected value for JDBC type \d+ and column (\S+)",
        "A table was dropped, and its name given to one whose column {} is of another type, before "
        "Connect had read all changes of the former; Debezium cannot read those any more",
        "./pipeline connect resnapshot reads all tables again; then ./pipeline extract --full "
        "finds missed deletes.",
    ),
    _Known(
        r"(?:Topic|Cluster|Group|TransactionalId)AuthorizationException|Not authorized to access",
        "Kafka does not let Connect write",
        "Allow its user to create and write the topics, and to use the transactional id "
        "connect-*; then ./pipeline connect apply.",
    ),
    _Known(
        r"Could not read properties from file (\S+)|allowed\.paths|FileNotFoundException",
        "Connect cannot read the password's file {}",
        "./pipeline up writes it again.",
    ),
    _Known(
        r"Failed to find any class that implements Connector",
        "Connect does not have the Debezium plugin",
        "./pipeline up installs it.",
    ),
    _Known(
        r"Connect has no salt for hashes|Unable to \w+ class masks\.ColumnMasks"
        r"|ClassNotFoundException: masks\.ColumnMasks",
        "Connect cannot mask columns: it lacks the salt, or our converter",
        "./pipeline up writes the salt and installs the converter. With Compose: ./pipeline env "
        "init, then docker compose up --build.",
    ),
    _Known(
        r"ProducerFencedException|InvalidProducerEpochException",
        "Another task took over Connect's transactions",
        "Only one Connect cluster may run a connector of this name; ./pipeline connect apply "
        "starts this one again.",
        is_transient=True,
    ),
    _Known(
        r"OutOfMemoryError|Java heap space",
        "Connect ran out of memory",
        "Give it more with CONNECT_HEAP_MB; then ./pipeline down and ./pipeline up.",
    ),
    _Known(
        r"No space left on device",
        "The disk is full",
        "Free space; then ./pipeline connect apply.",
    ),
    _Known(
        r"Connection to (\S+) refused|The connection attempt failed|UnknownHostException"
        r"|the database system is (?:starting up|shutting down)|terminating connection due to"
        r"|This connection has been closed|An I/O error occurred while sending to the backend"
        r"|Database connection failed",
        "The shop's database does not answer",
        "Is it up? ./pipeline status. Connect retries; if it has stopped retrying: ./pipeline "
        "connect apply.",
        is_transient=True,
    ),
    _Known(
        r"not present in metadata after|Failed to update metadata after|TimeoutException"
        r"|Failed to read to end of config topic",
        "Kafka does not answer Connect",
        "Is it up? ./pipeline status. Then ./pipeline connect apply.",
        is_transient=True,
    ),
)


def explain(trace: str) -> Problem:
    """Return the explanation of a trace or an error of Connect, and the command that helps.

    An unknown trace is shortened to its last cause.
    """
    found = _known(trace)
    if found is None:
        action = "Details: ./pipeline logs connect. Try again: ./pipeline connect apply"
        return Problem(_last_cause(trace), action)
    known, match = found
    named = next((group for group in match.groups() if group), "").strip("\"'.,:")
    size = f"({named} bytes)" if named else ""
    return Problem(_tidy(known.problem.format(named, size=size)), known.action)


def no_publication(*, is_stuck: bool) -> Problem:
    """Return what to do about a publication that is missing.

    Args:
        is_stuck: whether the slot cannot be read past the changes made without it.
    """
    then = f"Then {HEAL}" if is_stuck else "Then ./pipeline extract --full reads what was missed."
    return Problem(_NO_PUBLICATION, f"{_MAKE_PUBLICATION} again. {then}")


def needs_person(trace: str) -> bool:
    """Return whether the failure needs manual action, as opposed to a restart."""
    found = _known(trace)
    return found is not None and not found[0].is_transient


def _known(trace: str) -> tuple[_Known, re.Match[str]] | None:
    for known in _KNOWN:
        if match := re.search(known.pattern, trace):
            return known, match
    return None


def _last_cause(trace: str) -> str:
    lines = [line.strip() for line in trace.splitlines() if not line.startswith("\t")]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    told = (causes or [line for line in lines if line] or ["Connect gives no reason"])[-1]
    return told[:500].rstrip(".:")


def _tidy(text: str) -> str:
    return re.sub(r" {2,}", " ", text).strip()
