"""`catalog`: how other engines see the lake's tables by name."""

from pathlib import Path
from typing import Annotated

import typer

from cli.output import console, err_console

app = typer.Typer()
catalog = typer.Typer(
    no_args_is_help=True, help="Write what other engines need to see the lake's tables."
)
app.add_typer(catalog, name="catalog", rich_help_panel="Inspect")


@catalog.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to write the files.", file_okay=False)],
) -> None:
    """Write statements with which DuckDB, Spark SQL, Trino and Unity Catalog find each table.

    Tables of bronze, silver and gold, by the names that they have here. Nothing
    is copied: each engine reads the tables where they are. The files have no
    passwords; each says in its first lines where the engine takes them from. Use
    those of the user reader. Export again when there are new tables.

    Example: ./pipeline catalog export var/catalog
    """
    from batch.catalogue.engines import exported_tables, files_for_engines
    from lakehouse.connections import lake_of_reader
    from lakehouse.settings import MinioSettings

    with err_console.status("reading the lake"):
        tables = exported_tables(lake_of_reader())
    folder.mkdir(parents=True, exist_ok=True)
    files = files_for_engines(tables, MinioSettings())
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    named = ", ".join(files)
    console.print(f"{len(tables)} tables, for other engines: {named} in {folder}", soft_wrap=True)
