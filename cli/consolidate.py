"""`consolidate` and `rebuild`: from bronze to silver, gold and the warehouse."""

import json
from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from cli.engine import Engine, EngineOption, spark_of
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
    list[str] | None,
    typer.Option(
        "--entity",
        help="In silver, only this entity, or table of the shop that is none; may be repeated.",
    ),
]


@app.command(rich_help_panel="Run")
def consolidate(
    layer: LayerOption = None,
    entity: EntityOption = None,
    engine: EngineOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Apply new changes in bronze to silver, gold and the warehouse.

    Reads the versions that exist when it starts. Idempotent; after an
    interruption the next run completes the work. If another consolidation runs,
    it waits for it. Spark only computes tables that do not exist yet.

    Example: ./pipeline consolidate --layer silver --entity orders
    """
    _run(layer, entity, output, is_rebuild=False, engine=engine)


@app.command(rich_help_panel="Run")
def rebuild(
    layer: Annotated[Layer, _LAYER],
    entity: EntityOption = None,
    engine: EngineOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Rebuild a layer from scratch from the layer below, in one commit per table.

    Use it after a rule was changed, or to repair a table. Readers see a table
    either before or after. The layers above follow with the next ./pipeline
    consolidate. On Spark, its workers compute and write silver and gold.

    Example: ./pipeline rebuild --layer gold
    """
    _run(layer, entity, output, is_rebuild=True, engine=engine)


def consolidated(
    layers: "Sequence[Layer]" = CONSOLIDATED,
    entities: "Sequence[str]" = (),
    *,
    is_rebuild: bool = False,
    engine: Engine | None = None,
) -> "Consolidated":
    """Consolidate under the lock, showing progress on standard error."""
    from batch.pipeline_run import PipelineRun
    from batch.pipeline_run import consolidate as run_steps
    from batch.runs import Kind, recorded
    from cli.locking import consolidating
    from lakehouse.connections import warehouse

    kind = Kind.REBUILD if is_rebuild else Kind.CONSOLIDATION
    asked = {"layers": list(layers), "entities": list(entities)}
    _require_known(entities)
    with (
        spark_of(engine, is_used=bool({Layer.SILVER, Layer.GOLD} & {*layers})) as cluster,
        consolidating(kind),
        recorded(warehouse("batch"), kind=kind, scope=asked) as record,
        err_console.status(kind) as status,
    ):
        run = PipelineRun.of_settings(
            status.update, on_warning=_warn, is_rebuild=is_rebuild, cluster=cluster
        )
        return run_steps(run, layers, entities=entities, record=record)


def _warn(told: str) -> None:
    err_console.print(f"Warning: {told}", markup=False, style="yellow", soft_wrap=True)


def _require_known(entities: "Sequence[str]") -> None:
    from batch.pipeline_run import PipelineRun
    from batch.silver.run import chosen_entities
    from lakehouse.errors import PipelineError, WrongArgumentError

    try:
        if entities:
            PipelineRun.of_settings(lambda _what: None).chosen(entities)
    except WrongArgumentError:
        raise
    except PipelineError:
        # Without services only the contracts written by hand are known.
        chosen_entities(entities)


def behind_each() -> "list[LayerBehind]":
    """Return how far each layer is behind the one below; bronze behind Kafka."""
    from batch.catalogue import LayerBehind, bronze_behind, layers_behind
    from lakehouse.connections import lake_of_reader, warehouse
    from lakehouse.errors import PipelineError
    from lakehouse.settings import ConnectSettings, KafkaSettings

    kafka, prefix = KafkaSettings().client, ConnectSettings().topic_prefix
    lake = lake_of_reader()
    found = [bronze_behind(lake, kafka, prefix)]
    try:
        return found + layers_behind(lake, warehouse("batch"))
    except PipelineError as error:
        # What was consolidated stays so.
        return [*found, LayerBehind(layer="warehouse", below="silver", unknown=str(error))]


def show_done(done: "Consolidated", seconds: float, behind: "Sequence[LayerBehind]" = ()) -> None:
    """Print how far layers are behind, the affected tables, unknown codes, and failed checks.

    Args:
        done: the consolidation.
        seconds: its duration.
        behind: each layer afterwards.
    """
    if behind:
        from batch.catalogue import in_a_sentence

        is_behind = any(one.count != 0 for one in behind)
        rest = " ./pipeline consolidate applies what has landed." if is_behind else ""
        style = "yellow" if is_behind else None
        console.print(in_a_sentence(behind) + rest, style=style, markup=False)
    _show_rows(done.results, seconds)
    if done.rules:
        (table, rule), most = max(done.rules.items(), key=lambda one: one[1])
        console.print(
            f"Most were quarantined by {rule} of {table}: {most:,}. Show them: ./pipeline "
            f"quarantine show --entity {table} --rule {rule}. All: ./pipeline quarantine list",
            style="yellow", markup=False, soft_wrap=True,
        )  # fmt: skip
    for unknown in done.unknown:
        console.print(unknown.message(), style="yellow", markup=False)
    for check in done.warned:
        console.print(warning(check), style="yellow", markup=False)


def warning(check: "CheckResult") -> str:
    """Return the message about a failed check of severity `warn`."""
    return (
        f"Warning of check {check.name}: {check.offending_rows:,} rows, "
        f"e.g. {json.dumps(check.examples[0])}. See {check.file}"
    )


def _show_rows(rows: "Sequence[TableResult]", seconds: float) -> None:
    busy = [row for row in rows if row.read or row.merged]
    if busy:
        print_rows([asdict(row) for row in busy])
    read = sum(row.read for row in rows if row.layer == "silver")
    quarantined = sum(row.quarantined or 0 for row in rows)
    if busy:
        console.print(
            f"{read:,} changes read, {quarantined:,} quarantined, all layers in {seconds:.1f} s.",
            style="green",
        )
    else:
        console.print(f"Nothing new in the layer below ({seconds:.1f} s).", style="green")


def _run(
    layer: Layer | None,
    entity: list[str] | None,
    output: Format,
    *,
    is_rebuild: bool,
    engine: Engine | None = None,
) -> None:
    if entity and layer not in (None, Layer.SILVER):
        message = f"--entity selects tables of silver; it cannot be combined with --layer {layer}."
        raise typer.BadParameter(message)
    if engine is Engine.SPARK and layer is Layer.WAREHOUSE:
        message = "Spark computes silver and gold; it cannot be combined with --layer warehouse."
        raise typer.BadParameter(message)
    started = monotonic()
    layers = CONSOLIDATED if layer is None else (layer,)
    done = consolidated(layers, entity or (), is_rebuild=is_rebuild, engine=engine)
    seconds = monotonic() - started
    behind = behind_each()
    if output is Format.JSON:
        print_json(
            {
                "tables": [asdict(row) for row in done.results],
                "warned": [asdict(check) for check in done.warned],
                "unknown": [asdict(one) for one in done.unknown],
                "behind": [one.to_json() for one in behind],
                "seconds": round(seconds, 3),
            }
        )
    else:
        show_done(done, seconds, behind)
