"""`consolidate` and `rebuild`: bronze to silver, gold and the warehouse."""

import json
from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from cli.layers import option
from cli.output import Format, FormatOption, console, err_console, print_json, print_rows
from lakehouse.layers import CONSOLIDATED, Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.catalogue import LayerBehind
    from batch.pipeline_run import Consolidated
    from batch.runs.tables import TableResult
    from batch.warehouse.checks import CheckResult

app = typer.Typer()

_LAYER = option(layers=CONSOLIDATED, description="Only this layer.")
LayerOption = Annotated[Layer | None, _LAYER]
EntityOption = Annotated[
    list[str] | None, typer.Option("--entity", help="In silver, only these tables of the shop.")
]


@app.command(rich_help_panel="Run")
def consolidate(
    layer: LayerOption = None,
    entity: EntityOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Roll everything new in bronze through silver and gold into the warehouse.

    Takes what is there when it begins. Done twice is done once; cut off at any moment, the next
    one makes it good. If another one is at work, it waits for that.

    Example: ./pipeline consolidate --layer silver --entity orders
    """
    _run(layer, entity, output, is_rebuild=False)


@app.command(rich_help_panel="Run")
def rebuild(
    layer: Annotated[Layer, _LAYER],
    entity: EntityOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Make a layer anew from all of the layer below, in one commit per table.

    After a rule was changed, or to repair. Readers see a table before or after. The layers above
    follow with the next ./pipeline consolidate.

    Example: ./pipeline rebuild --layer gold
    """
    _run(layer, entity, output, is_rebuild=True)


def consolidated(
    layers: "Sequence[Layer]" = CONSOLIDATED,
    entities: "Sequence[str]" = (),
    *,
    is_rebuild: bool = False,
) -> "Consolidated":
    """Consolidate under the lock, telling how it goes on standard error."""
    from batch.pipeline_run import PipelineRun
    from batch.pipeline_run import consolidate as run_steps
    from batch.runs import Kind, recorded
    from batch.silver.run import chosen_entities
    from cli.locking import consolidating
    from lakehouse.connections import warehouse

    chosen_entities(entities)
    kind = Kind.REBUILD if is_rebuild else Kind.CONSOLIDATION
    asked = {"layers": list(layers), "entities": list(entities)}
    with (
        consolidating(kind),
        recorded(warehouse("batch"), kind=kind, scope=asked) as record,
        err_console.status(kind) as status,
    ):
        run = PipelineRun.of_settings(status.update, is_rebuild=is_rebuild)
        return run_steps(run, layers, entities=entities, record=record)


def landing() -> "LayerBehind":
    """What Kafka has that has not landed, so that no consolidation can have seen it."""
    from batch.catalogue import bronze_behind
    from lakehouse.connections import lake_of_reader
    from lakehouse.settings import ConnectSettings, KafkaSettings

    servers, prefix = KafkaSettings().bootstrap_servers, ConnectSettings().topic_prefix
    return bronze_behind(lake_of_reader(), servers, prefix)


def show_done(done: "Consolidated", seconds: float, behind: "LayerBehind | None" = None) -> None:
    """For people: what was done to each table that had anything new, and what checks say.

    Args:
        done: the consolidation.
        seconds: that it took.
        behind: what it cannot have seen.
    """
    _show_rows(done.results, seconds)
    for unknown in done.unknown:
        console.print(unknown.message(), style="yellow", markup=False)
    if behind is not None and behind.count != 0:
        text = str(behind)
        rest = "" if behind.count is None else ": the lander is at it; ./pipeline consolidate again"
        console.print(f"{text[:1].upper()}{text[1:]}{rest}.", style="yellow", markup=False)
    for check in done.warned:
        console.print(warning(check), style="yellow", markup=False)


def warning(check: "CheckResult") -> str:
    """What a check has found that was published all the same."""
    return (
        f"Check {check.name} warns: {check.offending_rows:,} rows, "
        f"e.g. {json.dumps(check.examples[0])}. See warehouse_sql/checks/{check.name}.sql"
    )


def _show_rows(rows: "Sequence[TableResult]", seconds: float) -> None:
    busy = [row for row in rows if row.read or row.merged]
    if busy:
        print_rows([asdict(row) for row in busy])
    read = sum(row.read for row in rows if row.layer == "silver")
    aside = sum(row.quarantined or 0 for row in rows)
    if busy:
        console.print(
            f"{read:,} changes read, {aside:,} quarantined, all layers in {seconds:.1f} s.",
            style="green",
        )
    else:
        console.print(f"Nothing new in the layer below ({seconds:.1f} s).", style="green")


def _run(
    layer: Layer | None, entity: list[str] | None, output: Format, *, is_rebuild: bool
) -> None:
    if entity and layer not in (None, Layer.SILVER):
        message = f"--entity is of silver, {layer} is made of all tables: leave one of them out."
        raise typer.BadParameter(message)
    started = monotonic()
    layers = CONSOLIDATED if layer is None else (layer,)
    done = consolidated(layers, entity or (), is_rebuild=is_rebuild)
    seconds = monotonic() - started
    behind = landing() if "silver" in layers else None
    if output is Format.JSON:
        print_json(
            {
                "tables": [asdict(row) for row in done.results],
                "warned": [asdict(check) for check in done.warned],
                "unknown": [asdict(one) for one in done.unknown],
                "behind": behind and behind.to_json(),
                "seconds": round(seconds, 3),
            }
        )
    else:
        show_done(done, seconds, behind)
