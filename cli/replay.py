"""`replay`: a range of offsets or times that is applied to a layer again."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from cli.engine import Engine, EngineOption, spark_of
from cli.layers import option
from cli.output import Format, FormatOption, console, err_console, print_json, print_rows
from lakehouse.layers import Layer
from lakehouse.shop_time import shop_time

if TYPE_CHECKING:
    from batch.table_diff import TableDiff
    from lakehouse.selection import Selection
    from replay.run import Outcome

app = typer.Typer()


@app.command(rich_help_panel="Run")
def replay(  # noqa: PLR0913 - one for each option
    into: Annotated[
        Layer,
        option(layers=tuple(Layer), description="The layer to apply the range to."),
    ],
    entity: Annotated[
        list[str] | None, typer.Option("--entity", help="A table of the shop; may be repeated.")
    ] = None,
    from_offset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="P:O", help="First offset of a partition; excludes partitions not named."
        ),
    ] = None,
    to_offset: Annotated[
        list[str] | None, typer.Option(metavar="P:O", help="Last offset of a partition, inclusive.")
    ] = None,
    from_time: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Start, inclusive; by default in SHOP_TIME_ZONE."),
    ] = None,
    to_time: Annotated[str | None, typer.Option(metavar="TIME", help="End, exclusive.")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="All tables of the shop.")] = False,
    only: Annotated[bool, typer.Option("--only", help="Do not update the layers above.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be read and recomputed.")
    ] = False,
    engine: EngineOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Apply a range of changes to a layer again, and compare its tables before and after.

    Into bronze: Kafka's records replace those of bronze that differ. Into the
    other layers, from bronze: the keys in the range are recomputed from all of
    their changes. No table goes back to an older state, and other commands keep
    running. With unchanged code and contracts each table has the same digest
    before and after; otherwise the differing rows are listed.

    After an interruption the same command resumes where it stopped, or starts
    over if bronze was rewritten since. On Spark, its workers validate and
    compare silver; they keep nothing of an interrupted replay.

    Example: ./pipeline replay --into silver --entity orders --from-offset 0:1500 --dry-run
    """
    from lakehouse.selection import Selection
    from replay.run import Replaying

    if bool(entity) == all_:
        message = "Choose tables: either --entity NAME or --all."
        raise typer.BadParameter(message)
    is_of_silver = into in (Layer.BRONZE, Layer.SILVER)
    if engine is Engine.SPARK and not is_of_silver:
        message = f"Spark replays silver; it cannot be combined with --into {into}."
        raise typer.BadParameter(message)
    chosen = Selection.parsed(
        from_offset=from_offset or (), to_offset=to_offset or (), from_time=from_time,
        to_time=to_time,
    )  # fmt: skip
    is_used = is_of_silver and not dry_run
    with spark_of(engine, is_used=is_used) as cluster, showing() as on_progress:
        work = Replaying.of_settings(
            into=into, entities=entity or (), selection=chosen, only=only,
            on_progress=on_progress, cluster=cluster,
        )  # fmt: skip
        described = work.described()
        plan = list(work.plan(described)) if dry_run else []
        outcome = None if dry_run else work.run(described)
    if output is Format.JSON:
        print_json({**described.to_json(), "plan": plan, **(outcome.to_json() if outcome else {})})
        return
    _show_range(into, chosen, described.ranges)
    if outcome is None:
        _show_plan(plan, described.notes)
    else:
        _show_outcome(outcome)


@contextmanager
def showing() -> Iterator[Callable[[str, int, int], None]]:
    """Show step, progress, rate and remaining time on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(show_speed=True),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err_console, transient=True) as progress:
        task = progress.add_task("starting", total=None, rate="")
        told = ""

        def tell(what: str, done: int, total: int) -> None:
            nonlocal told
            if what != told:
                progress.reset(task, description=what, total=total or None, completed=done)
                if not err_console.is_terminal:
                    err_console.print(what, markup=False)
                told = what
            speed = progress.tasks[0].finished_speed or progress.tasks[0].speed
            rate = f"{speed:,.0f} offsets/s" if speed and total else ""
            progress.update(task, completed=done, total=total or None, rate=rate)

        yield tell


def _show_range(into: Layer, chosen: "Selection", ranges: Sequence[dict[str, object]]) -> None:
    times = [
        f"{word} {shop_time(moment)}"
        for word, moment in (("from", chosen.since), ("to", chosen.until))
        if moment is not None
    ]
    source = "Kafka" if into in (Layer.BRONZE, Layer.LIVE) else "bronze"
    if not any(row["epoch"] for row in ranges):
        ranges = [{name: row[name] for name in row if name != "epoch"} for row in ranges]
    print_rows(ranges, title=" ".join(["Range", *times, f"as offsets of {source}"]))
    if not ranges:
        console.print("The range contains no changes.")


def _show_plan(plan: Sequence[dict[str, object]], notes: Sequence[str]) -> None:
    if plan:
        print_rows(plan, title="Would be recomputed")
    for note in notes:
        console.print(note, markup=False)
    console.print("Nothing was changed (--dry-run).", style="green")


def _show_outcome(outcome: "Outcome") -> None:
    rows = [
        {
            "layer": one.layer,
            "table": one.table,
            "rows": one.after.rows,
            "added": one.differences.added,
            "changed": one.differences.changed,
            "removed": one.differences.removed,
            "digest before": f"{one.before.total:016x}",
            "after": "the same" if one.is_equal else f"{one.after.total:016x}",
        }
        for one in outcome.diffs
    ]
    if rows:
        print_rows(rows)
    for one in outcome.diffs:
        _show_differences(one)
    for note in outcome.notes:
        console.print(note, markup=False)
    console.print(outcome.verdict(), markup=False, style="green")


def _show_differences(diff: "TableDiff") -> None:
    for example in diff.differences.examples:
        key = ", ".join(f"{name} {value}" for name, value in example.key.items())
        values = "; ".join(f"{name}: {old} → {new}" for name, (old, new) in example.columns.items())
        text = f"{diff.table} {key} {example.kind}" + (f": {values}" if values else "")
        console.print(text, markup=False, soft_wrap=True)
    if diff.differences.examples and diff.differences.more:
        console.print(f"{diff.table}: and {diff.differences.more:,} more rows", markup=False)
