"""`quarantine`: what the rules quarantined, and judging it again."""

from dataclasses import asdict
from typing import Annotated

import orjson
import typer

from cli.output import Format, FormatOption, console, err_console, print_json, print_rows

app = typer.Typer()
quarantine = typer.Typer(no_args_is_help=True, help="Changes that no rule could mend.")
app.add_typer(quarantine, name="quarantine", rich_help_panel="Run")

EntityOption = Annotated[
    list[str] | None, typer.Option("--entity", help="Only of these tables of the shop.")
]
RuleOption = Annotated[str | None, typer.Option(help="Only those that broke this rule.")]
KeyOption = Annotated[str | None, typer.Option(help="Only of this row.")]


@quarantine.command("list")
def list_(
    entity: EntityOption = None, rule: RuleOption = None, output: FormatOption = Format.TABLE
) -> None:
    """Count what is in quarantine, by table and rule.

    Example: ./pipeline quarantine list --entity customers
    """
    from batch.quarantine import Selection, summary
    from lakehouse.connections import lake_of_reader

    chosen = Selection(entities=tuple(entity or ()), rule=rule)
    chosen.require_sense()
    rows = summary(lake_of_reader(), chosen)
    if output is Format.JSON:
        print_json(rows)
    elif rows:
        print_rows(rows)
    else:
        console.print("Nothing is in quarantine.")


@quarantine.command()
def show(
    entity: EntityOption = None,
    rule: RuleOption = None,
    key: KeyOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Newest changes to show.")] = 10,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show changes in quarantine: where they stand, what they broke, the row as it came.

    Example: ./pipeline quarantine show --rule email_invalid --limit 3
    """
    from batch.quarantine import Selection, details
    from lakehouse.connections import lake_of_reader

    chosen = Selection(entities=tuple(entity or ()), rule=rule, key=key)
    chosen.require_sense()
    rows = details(lake_of_reader(), chosen, limit=limit)
    if output is Format.JSON:
        print_json(rows)
        return
    for row in rows:
        coordinate = f"epoch {row['epoch']}, partition {row['partition']}, offset {row['offset']}"
        console.print(
            f"[bold]{row['entity']} {row['key']}[/]  {row['rules']}  [dim]{coordinate}[/]"
        )
        console.print(orjson.dumps(row["row"]).decode(), markup=False)
    if not rows:
        console.print("Nothing like that is in quarantine.")


@quarantine.command()
def redrive(
    entity: EntityOption = None,
    rule: RuleOption = None,
    key: KeyOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Validator quarantined rows again, from all their changes, after a contract was mended.

    Gold and the warehouse follow with the next ./pipeline consolidate. Live goes by the contract
    that it was started with, until ./pipeline down and ./pipeline up.

    Example: ./pipeline quarantine redrive --rule email_invalid
    """
    from batch.quarantine import Selection
    from batch.runs import Kind, recorded
    from batch.silver.run import SilverRules
    from cli.locking import consolidating
    from lakehouse.connections import warehouse, writing_lake
    from replay.redrive import redrive

    chosen = Selection(entities=tuple(entity or ()), rule=rule, key=key)
    chosen.require_sense()
    with (
        consolidating("redrive"),
        recorded(warehouse("batch"), kind=Kind.REDRIVE, scope=asdict(chosen)) as run,
        err_console.status("reading quarantine") as status,
    ):
        done = redrive(writing_lake(), SilverRules.of_settings(), chosen, on_progress=status.update)
        rows = [asdict(one) for one in done]
        run.note(
            rows_read=sum(one.keys for one in done),
            rows_written=sum(one.mended for one in done),
            details={"entities": rows},
        )
    if output is Format.JSON:
        print_json(rows)
    elif rows:
        print_rows(rows)
        console.print(
            "Gold and the warehouse follow with ./pipeline consolidate. Live goes by the contract "
            "that it was started with: ./pipeline down, then ./pipeline up."
        )
    else:
        console.print("Nothing like that is in quarantine.")
