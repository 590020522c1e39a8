"""`extract`: reads of tables of the shop while changes stream (Debezium's incremental snapshot)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Format, FormatOption, console, err_console, print_json, print_rows

if TYPE_CHECKING:
    from batch.extraction import Extracted, MissedDeletes
    from connectors.progress import Progress

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
    from connectors.extraction import Extractions
    from lakehouse.connections import secrets

    with Extractions.of_settings(secrets()) as extractions:
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
    from batch.extraction import DeleteLimit, requested
    from batch.extraction import extract as read_again
    from consumers.bronze.ledger import SlotLosses
    from lakehouse.connections import secrets as generated

    secrets = generated()
    request, left_out = requested(secrets, names, since, until)
    try:
        with err_console.status("starting") as status:
            done = read_again(
                secrets,
                request,
                limit=DeleteLimit(allowed=allow_deletes),
                losses=SlotLosses.of_settings(secrets),
                on_found=lambda _: err_console.print(_FOLLOWS),
                on_progress=status.update,
            )
    except KeyboardInterrupt:
        err_console.print(_GOES_ON)
        raise typer.Exit(_INTERRUPTED) from None
    if output is Format.JSON:
        print_json({**done.to_json(), "left_out": left_out})
    else:
        _report(done, left_out)
    if not done.read.is_complete:
        raise typer.Exit(_INCOMPLETE)


def _report(done: "Extracted", left_out: Sequence[str]) -> None:
    _show(done.read)
    _show_deletes(done.missed)
    for name in left_out:
        why = "no primary key" if done.request.days is None else "no primary key or no date column"
        console.print(f"{name} was skipped: it has {why}.", markup=False)


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
