"""`maintain`: compaction, vacuum and checkpoints of the lake's tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli.layers import option
from cli.output import Format, FormatOption, console, err_console, print_json
from lakehouse.choices import refuse_unknown
from lakehouse.errors import PipelineError
from lakehouse.layers import LAKE, Layer

if TYPE_CHECKING:
    from batch.catalogue import LakeTable
    from batch.maintenance import Limits, Maintenance, Need

app = typer.Typer()
_LONGEST_HOURS = 876_000
"""A century: an upper bound that datetime and Delta's intervals can both represent."""


@app.command(rich_help_panel="Run")
def maintain(
    layer: Annotated[
        list[Layer] | None,
        option(layers=LAKE, description="Only this layer; may be given again."),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(help="Only this table, such as cleaned_sales; may be given again."),
    ] = None,
    retention_hours: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=_LONGEST_HOURS,
            help="How long old table versions stay readable. Default: the settings "
            "…_RETENTION_HOURS.",
        ),
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Compact small files, vacuum expired ones, write checkpoints.

    Runs concurrently with the lander, consolidations and readers; a table on
    which it would conflict with a writer is skipped and reported. Versions of
    silver that gold or the warehouse have not read yet are kept, whatever their
    age.

    The lander maintains bronze; this command does so only when that is overdue or
    when --layer or --table select it.

    Also deletes records of runs older than 90 days.

    Example: ./pipeline maintain --layer silver --retention-hours 24
    """
    from batch.maintenance import limits_of_settings, maintain_tables
    from batch.runs import Kind, forget_old, recorded
    from lakehouse.connections import secrets, warehouse

    is_asked = bool(layer or table)
    limits = limits_of_settings(secrets(), retention_hours=retention_hours, is_asked=is_asked)
    layers, names = layer or list(LAKE), table or []
    asked = {"layers": layers, "tables": names, "retention_hours": retention_hours}
    dsn = warehouse("batch")
    if names:
        _chosen(limits, layers, names)
    with (
        # Maintenance of the lake must be possible while the warehouse is down.
        recorded(dsn, kind=Kind.MAINTENANCE, scope=asked, is_required=False) as run,
        err_console.status("looking for tables") as status,
    ):
        chosen = _chosen(limits, layers, names)
        needs = _needs(limits, chosen)
        done = list(maintain_tables(chosen, limits, needs, on_progress=status.update))
        run.note(details={"tables": [one.to_json() for one in done]})
        forget_old(dsn)
    if output is Format.JSON:
        print_json([one.to_json() for one in done])
    else:
        show_maintenance(done)


def _chosen(
    limits: "dict[str, Limits]", layers: Sequence[str], names: Sequence[str]
) -> "list[LakeTable]":
    """Return the tables with these names (`table` or `layer/table`); all if none are given.

    Raises:
        WrongArgumentError: there is no such table.
    """
    from batch.catalogue import lake_tables

    found = [one for layer in layers for one in lake_tables(limits[layer].lake, [layer])]
    known = {name for one in found for name in (one.name, str(one))}
    if others := [name for name in names if name not in known]:
        refuse_unknown("table", others, sorted(known))
    return [one for one in found if not names or one.name in names or str(one) in names]


def _needs(limits: "dict[str, Limits]", chosen: "Sequence[LakeTable]") -> "list[Need] | None":
    """Return the versions of silver that readers still need; None, with a warning, if unknown."""
    from batch.maintenance import needs_of_readers
    from lakehouse.connections import secrets

    if not any(one.layer == "silver" for one in chosen):
        return []
    try:
        return needs_of_readers(limits, secrets())
    except PipelineError as error:
        message = f"Nothing of silver is deleted: {error}"
        err_console.print(message, style="yellow", markup=False, soft_wrap=True)
        return None


def show_maintenance(done: "Sequence[Maintenance]") -> None:
    """Print one table per layer, and below it what was skipped and why."""
    from cli.tables import metrics_table, size_text

    if not done:
        console.print("The lake has no tables yet.", style="dim")
    for layer in dict.fromkeys(one.table.layer for one in done):
        rows = [one for one in done if one.table.layer == layer]
        table = metrics_table(layer, "files", "now", "size", "now", "vacuumed", "freed", "seconds")
        for one in rows:
            table.add_row(
                one.table.name,
                *(f"{count:,}" for count in (one.files_before, one.files_after)),
                *map(size_text, (one.bytes_before, one.bytes_after)),
                f"{one.vacuumed_files:,}",
                size_text(one.vacuumed_bytes),
                f"{one.seconds:.1f}",
            )
        console.print(table)
        for why in dict.fromkeys(why for one in rows for why in one.kept):
            names = ", ".join(one.table.name for one in rows if why in one.kept)
            console.print(f"{why} ({names})", style="dim", markup=False)
        console.print()
