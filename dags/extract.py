"""Manually triggered extraction, with its parameters as a form."""

from typing import Any

from airflow.sdk import Param, dag, get_current_context, task
from lakehouse.errors import StopPipelineError
from orchestration.defaults import by_hand, tables_to_choose
from orchestration.steps import step
from orchestration.task_log import log_table

_DELETES = "Maximum number of deletes that a full extraction may write per table."
_DAY = "A day in the shop's time zone, such as 2026-11-01. Leave empty to read all rows."


@dag(
    description="Reads tables of the shop again, in full or by day.",
    schedule=None,
    **by_hand(),
    params={
        "tables": tables_to_choose("Tables of the shop. Leave empty for all."),
        "since": Param(None, type=["null", "string"], format="date", title="Since",
                       description=_DAY),
        "until": Param(None, type=["null", "string"], format="date", title="Until (inclusive)",
                       description="Requires Since."),
        "allow_deletes": Param(None, type=["null", "integer"], minimum=0, title="Deletes allowed",
                               description=_DELETES),
    },
)  # fmt: skip
def extract() -> None:
    """Reads tables of the shop again, in full or by day, while changes stream.

    `check_request` rejects wrong parameters before anything starts. A full extraction also writes
    missed deletes, each checked against the shop, and lists them; if they are suspiciously many, it
    fails until the form says how many it may write. If the run is interrupted, Debezium continues
    and the next try follows it. An extraction that was stopped is not started again.

    `./pipeline extract` does the same; control it with `./pipeline extract --pause`, `--resume`
    and `--stop`.
    """
    check_request() >> read_again()


@task
@step
def check_request() -> list[str]:
    """Validate the parameters; returns the command's arguments."""
    chosen = get_current_context()["params"]
    since, until = chosen["since"], chosen["until"]
    if until and not since:
        message = "Until requires Since: give both, or leave Until empty."
        raise StopPipelineError(message)
    if since and chosen.get("allow_deletes") is not None:
        message = (
            "Only a full extraction writes deletes: leave either Since or Deletes allowed empty."
        )
        raise StopPipelineError(message)
    if until and until < since:
        message = f"Until {until} lies before Since {since}: swap them."
        raise StopPipelineError(message)
    return _arguments()


@task
@step
def read_again() -> dict[str, Any]:
    """Run the extraction; returns rows by table and the missed deletes."""
    from orchestration.command import require_all_read, run_command

    found = run_command(_arguments())
    log_table(found["extraction"]["tables"])
    log_table(found["deletes"])
    require_all_read(found["extraction"])
    return found


def _arguments() -> list[str]:
    chosen = get_current_context()["params"]
    days = [
        part
        for option, name in (("--since", "since"), ("--until", "until"))
        if chosen[name]
        for part in (option, chosen[name])
    ]
    number = chosen.get("allow_deletes")
    allowed = [] if number is None else ["--allow-deletes", str(number)]
    return ["extract", *(chosen["tables"] or ()), *(days or ["--full"]), *allowed]


extract()
