"""`env`: the variables and passwords of Docker Compose."""

import typer

from cli.output import err_console

app = typer.Typer()
_env = typer.Typer(help="Docker Compose's variables and passwords.", no_args_is_help=True)
app.add_typer(_env, name="env", rich_help_panel="Stack")


@_env.callback()
def _group() -> None:
    """Docker Compose's variables and passwords."""


@_env.command()
def init() -> None:
    """Write .env: passwords, ports, and what else docker-compose.yml leaves open.

    Passwords of a native stack in this checkout are taken over, and so is what the environment
    gives (OLTP_PORT=15432 …). What stands in the file already is kept.

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
        told = f"{file} has all that it needs; nothing was changed."
    else:
        told = (
            f"{file}: {len(done.added)} variables added, {len(done.taken_over)} of "
            "them with the native stack's or the environment's values. Only you can read it."
        )
    err_console.print(told, markup=False, soft_wrap=True)
    if config.stack.engine != "compose":  # otherwise its variables are settings, and this was said
        for warning in retired_warnings(read_variables(file.read_text())):
            err_console.print(f"Warning: {file}: {warning}", markup=False, soft_wrap=True)
