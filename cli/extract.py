"""`extract`: reads of tables of the shop while changes stream (Debezium's incremental snapshot)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from cli.output import Format, FormatOption, console, err_console, print_json, print_rows

if TYPE_CHECKING:
    from batch.extraction import MissedDeletes
    from connectors.extraction import Extractions
    from connectors.progress import Progress
    from connectors.request import Request
    from lakehouse.offsets import OffsetRange, TopicPartition
    from lakehouse.secrets import Secrets

app = typer.Typer()
_INCOMPLETE = 1
_INTERRUPTED = 130
_LISTED = 20
_GOES_ON = (
    "The extraction continues in Debezium. To follow it, run the same command again. To show it: "
    "./pipeline extract --status. To stop it: ./pipeline extract --stop"
)

_FOLLOWS = "The same extraction is running already; this command follows it."


@app.command(rich_help_panel="Run")
def extract(  # noqa: PLR0913 - one for each option
    tables: Annotated[
        list[str] | None, typer.Argument(help="Tables of the shop. Default: all.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read all rows, and find missed deletes.")
    ] = False,
    since: Annotated[
        str | None, typer.Option(help="Read only rows written on this day (YYYY-MM-DD) or later.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="With --since: the last day, inclusive.")
    ] = None,
    allow_deletes: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="With --full: write up to this many deletes per table, whatever share of its "
            "rows that is.",
        ),
    ] = None,
    status: Annotated[bool, typer.Option("--status", help="Show the running extraction.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Pause the running extraction.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the paused extraction.")] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop the extraction; rows already read stay.")
    ] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Read tables of the shop into Kafka again (incremental snapshot) while changes stream.

    Days are in SHOP_TIME_ZONE and refer to updated_at, or, in tables without it,
    to occurred_at, placed_at or created_at. --full also writes missed deletes to
    Kafka, each checked against the shop, and lists them. If they are suspiciously
    many (5 % of a table, and 100 rows) it writes none, unless --allow-deletes permits it.
    Ctrl-C does not stop the extraction; the same command follows it again. Exit
    status 1 when not everything was read, 3 when rows are hidden from the reading
    roles or there are too many deletes.

    Example: ./pipeline extract orders order_lines --since 2026-11-01
    """
    asked = [word for word, is_given in _words(status, pause, resume, stop) if is_given]
    has_request = any((tables, full, since, until, allow_deletes is not None))
    if len(asked) > 1 or (asked and has_request):
        message = "--status, --pause, --resume and --stop cannot be combined with other options."
        raise typer.BadParameter(message)
    if asked:
        _control(asked[0], output)
        return
    if full == (since is not None) or (until is not None and since is None):
        message = "give either --full, or --since DATE with or without --until DATE."
        raise typer.BadParameter(message)
    if allow_deletes is not None and not full:
        message = "--allow-deletes requires --full: only a full extraction writes deletes."
        raise typer.BadParameter(message)
    _run(tables or [], since, until, allow_deletes, output)


def _words(status: bool, pause: bool, resume: bool, stop: bool) -> tuple[tuple[str, bool], ...]:
    return ("status", status), ("pause", pause), ("resume", resume), ("stop", stop)


def _control(word: str, output: Format) -> None:
    from lakehouse.connections import secrets as generated

    with _extractions(generated()) as extractions:
        steps = {
            "status": extractions.current,
            "pause": extractions.pause,
            "resume": extractions.resume,
            "stop": extractions.stop,
        }
        found = steps[word]()
    if output is Format.JSON:
        print_json({"extraction": found and found.to_json()})
    elif found is None:
        console.print("No extraction is running.")
    else:
        _show(found)


def _run(
    names: Sequence[str],
    since: str | None,
    until: str | None,
    allow_deletes: int | None,
    output: Format,
) -> None:
    """Read the tables; after a complete full extraction, write missed deletes."""
    from batch.extraction import MissedDeletes
    from batch.runs import Kind, recorded
    from lakehouse.connections import secrets as generated
    from lakehouse.connections import warehouse

    secrets = generated()
    request, left_out = _request(secrets, names, since, until)
    missed = MissedDeletes()
    request.data()
    tables = [table.table_name for table in request.tables]
    scope = {"tables": tables, "since": since, "until": until, "is_full": request.days is None}
    try:
        with (
            # An extraction must be possible while the warehouse is down.
            recorded(
                warehouse("batch"), kind=Kind.EXTRACTION, scope=scope, is_required=False
            ) as run,
            err_console.status("starting") as status,
            _extractions(secrets) as extractions,
        ):

            def show(one: "Progress") -> None:
                status.update(_in_a_line(one))

            begun = extractions.start(request, lambda _: err_console.print(_FOLLOWS))
            read = extractions.read_unknown(request, extractions.follow(begun, show), show)
            if read.is_complete and request.days is None:
                missed = _mend(secrets, request, allow_deletes, status.update)
            rows = sum(table.rows or 0 for table in read.tables)
            run.note(rows_read=rows, rows_written=len(missed.written), details=read.to_json())
    except KeyboardInterrupt:
        err_console.print(_GOES_ON)
        raise typer.Exit(_INTERRUPTED) from None
    _report(output, request, read, missed, left_out)
    if not read.is_complete:
        raise typer.Exit(_INCOMPLETE)


def _mend(
    secrets: "Secrets",
    request: "Request",
    allow_deletes: int | None,
    on_progress: Callable[[str], None],
) -> "MissedDeletes":
    """Write missed deletes, then record the losses of the checked tables as resolved."""
    from batch.extraction import DeleteLimit, write_missed_deletes
    from batch.reconcile import ReconcileConfig
    from consumers.bronze.ledger import SlotLosses
    from lakehouse.kafka import captured_topic

    config, limit = ReconcileConfig(), DeleteLimit(allowed=allow_deletes)
    names = [table.table_name for table in request.tables]
    missed = write_missed_deletes(secrets, config, names, limit=limit, on_progress=on_progress)
    losses = SlotLosses(
        kafka=config.kafka,
        minio=config.minio,
        topic_prefix=config.connect.topic_prefix,
        secrets=secrets,
    )
    read_again = set(names) - set(missed.not_checked)
    topics = {captured_topic(config.connect.topic_prefix, name) for name in read_again}
    words = "./pipeline extract --full has read all rows again"
    losses.record_resolved(topics, words)
    losses.record_truncated(_untold(missed), words)
    return missed


def _untold(missed: "MissedDeletes") -> list[tuple["TopicPartition", "OffsetRange"]]:
    from lakehouse.offsets import OffsetRange, TopicPartition

    return [
        (
            TopicPartition(topic=topic, topic_id=one.topic_id, partition=one.partition),
            OffsetRange(start=one.first, stop=one.last + 1),
        )
        for topic, ranges in missed.untold.items()
        for one in ranges
    ]


def _request(
    secrets: "Secrets", names: Sequence[str], since: str | None, until: str | None
) -> tuple["Request", tuple[str, ...]]:
    from connectors.captured import choose, read_captured
    from connectors.readers import require_all_rows
    from connectors.request import Request, parse_days
    from lakehouse.postgres import oltp_dsn
    from lakehouse.settings import OltpSettings, ShopSettings

    zone = ShopSettings().time_zone
    today = datetime.now(tz=ZoneInfo(zone)).date()
    days = None if since is None else parse_days(since, until, time_zone=zone, today=today)
    dsn = oltp_dsn(OltpSettings(), secrets, role="extract")
    tables, left_out = choose(read_captured(dsn), names, is_dated=days is not None)
    require_all_rows(dsn, [table.table_name for table in tables])
    return Request(tables=tables, days=days), left_out


@contextmanager
def _extractions(secrets: "Secrets") -> Iterator["Extractions"]:
    from connectors.extraction import Extractions
    from connectors.health import check
    from connectors.notifications import Notifications
    from connectors.rest import ConnectApi
    from lakehouse.kafka import notification_topic
    from lakehouse.postgres import oltp_dsn
    from lakehouse.settings import ConnectSettings, KafkaSettings, OltpSettings

    connect, oltp = ConnectSettings(), OltpSettings()
    monitor_dsn = oltp_dsn(oltp, secrets, role="monitor")
    servers, topic = KafkaSettings().bootstrap_servers, notification_topic(connect.topic_prefix)
    with (
        ConnectApi(connect.url, connect.connector_name) as api,
        Notifications(servers, topic) as notifications,
    ):
        yield Extractions(
            api=api,
            notifications=notifications,
            signal_dsn=oltp_dsn(oltp, secrets, role="extract"),
            health=lambda: check(connect, monitor_dsn),
        )


def _report(
    output: Format,
    request: "Request",
    read: "Progress",
    missed: "MissedDeletes",
    left_out: Sequence[str],
) -> None:
    if output is Format.JSON:
        told = {"extraction": read.to_json(), "left_out": left_out, "days": _days(request)}
        deletes = [asdict(delete) for delete in missed.written]
        print_json(
            {
                **told,
                "deletes": deletes,
                "deletes_not_looked_for": missed.not_checked,
                "accounted_for": {
                    topic: [asdict(one) for one in ranges]
                    for topic, ranges in missed.untold.items()
                },
            }
        )
        return
    _show(read)
    _show_deletes(missed)
    for name in left_out:
        why = "no primary key" if request.days is None else "no primary key or no date column"
        console.print(f"{name} was skipped: it has {why}.", markup=False)


def _days(request: "Request") -> dict[str, object] | None:
    days = request.days
    if days is None:
        return None
    columns = {table.table_name: table.dated_by for table in request.tables}
    return {"start_at": days.start_at, "stop_at": days.stop_at, "columns": columns}


def _show(progress: "Progress") -> None:
    rows = [
        {
            "table": table.table,
            "state": table.state.value,
            "rows": table.rows,
            "keys read": None if table.share is None else f"{table.share:.0%}",
            "reason": table.reason,
        }
        for table in progress.tables
    ]
    print_rows(rows, title="Extraction" + (", paused" if progress.is_paused else ""))


def _show_deletes(missed: "MissedDeletes") -> None:
    if missed.written:
        rows = [
            {"table": one.table, "key": one.key, "written to": f"{one.partition}@{one.offset}"}
            for one in missed.written[:_LISTED]
        ]
        print_rows(rows, title=f"Missed deletes: {len(missed.written):,}")
        if len(missed.written) > _LISTED:
            more = len(missed.written) - _LISTED
            console.print(f"… and {more:,} more; --format json lists all")
    for topic, ranges in missed.untold.items():
        note = (
            f"{topic}: rows have disappeared without a captured delete, e.g. by a TRUNCATE that "
            f"was not captured. Recorded in bronze/_loss_ledger as {len(ranges)} offset ranges."
        )
        console.print(note, markup=False)
    for name in missed.not_checked:
        note = f"{name}: missed deletes were not searched, the type of its key cannot be queried"
        console.print(note, markup=False)


def _in_a_line(progress: "Progress") -> str:
    done = sum(table.state.value == "read" for table in progress.tables)
    now = next((table for table in progress.tables if table.state.value == "reading"), None)
    share = "" if now is None or now.share is None else f", {now.share:.0%} of its keys"
    reading = "" if now is None else f"; reading {now.table}{share}"
    rest = "paused: " if progress.is_paused else ""
    return f"{rest}{done} of {len(progress.tables)} tables read{reading}"
