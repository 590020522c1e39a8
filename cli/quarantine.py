"""`quarantine`: listing and revalidating quarantined rows."""

from dataclasses import asdict
from typing import Annotated

import orjson
import typer

from cli.output import Format, FormatOption, console, err_console, print_json, print_rows

app = typer.Typer()
quarantine = typer.Typer(no_args_is_help=True, help="List or revalidate quarantined changes.")
app.add_typer(quarantine, name="quarantine", rich_help_panel="Run")

EntityOption = Annotated[
    list[str] | None,
    typer.Option(
        "--entity", help="Only changes of this entity, as `list` names it; may be repeated."
    ),
]
RuleOption = Annotated[str | None, typer.Option(help="Only changes that broke this rule.")]
KeyOption = Annotated[str | None, typer.Option(help="Only changes of the row with this key.")]


@quarantine.command("list")
def list_(
    entity: EntityOption = None, rule: RuleOption = None, output: FormatOption = Format.TABLE
) -> None:
    """Count quarantined changes by table and rule.

    Example: ./pipeline quarantine list --entity customers
    """
    from batch.contracts.stored import known_contracts
    from batch.quarantine import Selection, summary
    from lakehouse.connections import lake_of_reader

    asked = Selection(entities=tuple(entity or ()), rule=rule)
    chosen = asked.checked(known_contracts(lake_of_reader))
    rows = summary(lake_of_reader(), chosen)
    if output is Format.JSON:
        print_json(rows)
    elif rows:
        print_rows(rows)
    else:
        console.print("The quarantine is empty.")


@quarantine.command()
def show(
    entity: EntityOption = None,
    rule: RuleOption = None,
    key: KeyOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest changes.")] = 10,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show quarantined changes: coordinate, broken rules, the original row.

    Example: ./pipeline quarantine show --rule email_invalid --limit 3
    """
    from batch.contracts.stored import known_contracts
    from batch.quarantine import Selection, details
    from lakehouse.connections import lake_of_reader

    asked = Selection(entities=tuple(entity or ()), rule=rule, key=key)
    chosen = asked.checked(known_contracts(lake_of_reader))
    rows = details(lake_of_reader(), chosen, limit=limit)
    if output is Format.JSON:
        print_json(rows)
        return
    for row in rows:
        coordinate = f"epoch {row['epoch']}, partition {row['partition']}, offset {row['offset']}"
        console.print(
            f"[bold]{row['entity']} {row['key']}[/]  {row['rules']}  [dim]{coordinate}[/]"
        )
        console.print(orjson.dumps(row["row"], option=orjson.OPT_INDENT_2).decode(), markup=False)
    if not rows:
        console.print("No quarantined change matches.")


@quarantine.command()
def redrive(
    entity: EntityOption = None,
    rule: RuleOption = None,
    key: KeyOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Revalidate quarantined rows from all of their changes, after a contract was corrected.

    Gold and the warehouse follow with the next ./pipeline consolidate. The live
    consumer keeps the contract it was started with until it is restarted
    (./pipeline down, ./pipeline up).

    Example: ./pipeline quarantine redrive --rule email_invalid
    """
    from batch.contracts.stored import known_contracts
    from batch.quarantine import Selection
    from batch.runs import Kind, recorded
    from batch.silver.run import SilverRules
    from cli.locking import consolidating
    from lakehouse.connections import warehouse, writing_lake
    from replay.redrive import redrive

    asked = Selection(entities=tuple(entity or ()), rule=rule, key=key)
    chosen = asked.checked(known_contracts(writing_lake))
    with (
        consolidating("redrive"),
        recorded(warehouse("batch"), kind=Kind.REDRIVE, scope=asdict(chosen)) as run,
        err_console.status("reading quarantine") as status,
    ):
        done = redrive(writing_lake(), SilverRules.of_settings(), chosen, on_progress=status.update)
        rows = [asdict(one) for one in done]
        run.note(
            rows_read=sum(one.keys for one in done),
            rows_written=sum(one.accepted for one in done),
            details={"entities": rows},
        )
    if output is Format.JSON:
        print_json(rows)
    elif rows:
        print_rows(rows)
        console.print(
            "Gold and the warehouse follow with ./pipeline consolidate. The live consumer uses the "
            "new contract after ./pipeline down and ./pipeline up."
        )
    else:
        console.print("No quarantined change matches.")
