"""`env`: the .env file of Docker Compose."""

import typer

from cli.output import err_console

app = typer.Typer()
_env = typer.Typer(help="Variables and passwords for Docker Compose.", no_args_is_help=True)
app.add_typer(_env, name="env", rich_help_panel="Stack")


@_env.callback()
def _group() -> None:
    """Variables and passwords for Docker Compose."""


@_env.command()
def init() -> None:
    """Write .env: passwords, ports and the other variables of docker-compose.yml.

    Passwords of a native stack in this checkout are reused, and so are values of
    environment variables (OLTP_PORT=15432 …). Values that are in the file already
    are kept.

    Example: ./pipeline env init && docker compose up -d --wait
    """
    from lakehouse.secrets import read_variables
    from lakehouse.settings import retired_warnings
    from stack.compose import make_env_file
    from stack.paths import StackConfig

    config = StackConfig()
    done = make_env_file(config)
    file = config.stack.env_file
    if not done.added:
        told = f"{file} is complete; nothing was changed."
    else:
        told = (
            f"{file}: {len(done.added)} variables added, {len(done.taken_over)} of them taken from "
            "the native stack or the environment. Only you can read the file."
        )
    err_console.print(told, markup=False, soft_wrap=True)
    if config.stack.engine != "compose":  # otherwise its variables are settings, and this was said
        for warning in retired_warnings(read_variables(file.read_text())):
            err_console.print(f"Warning: {file}: {warning}", markup=False, soft_wrap=True)
