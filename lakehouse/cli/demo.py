"""Commands to come."""

import typer

app = typer.Typer()
