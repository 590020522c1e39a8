"""An extraction, with its parameters as a form."""

from typing import Any

from airflow.sdk import Param, dag, get_current_context, task
from lakehouse.errors import StopPipelineError
from orchestration.defaults import by_hand, tables_to_choose
from orchestration.steps import step
from orchestration.task_log import log_table

_DELETES = (
    "Of a full extraction that stopped since it found too many: how many it may write at most."
)
_DAY = "A day of the shop, such as 2026-11-01. Without it, all rows are read."


@dag(
    schedule=None,
    **by_hand(),
    params={
        "tables": tables_to_choose(),
        "since": Param(None, type=["null", "string"], format="date", title="Since",
                       description=_DAY),
        "until": Param(None, type=["null", "string"], format="date", title="Until, included",
                       description="Only together with a first day."),
        "allow_deletes": Param(None, type=["null", "integer"], minimum=0, title="Deletes allowed",
                               description=_DELETES),
    },
)  # fmt: skip
def extract() -> None:
    """Reads tables of the shop again, in full or by day, while changes stream on.

    `check_request` refuses what makes no sense before anything starts. A full extraction also
    writes deletes that were missed, each checked against the shop, and lists them; suspiciously
    many stop it until the form says how many it may write. A run that is cut off leaves Debezium at
    its work; the next try follows it. One that is stopped is not begun again.

    `./pipeline extract` does the same; `./pipeline extract --pause`, `--resume`, `--stop` steer it.
    """
    check_request() >> read_again()


@task
@step
def check_request() -> list[str]:
    """The command that is to run."""
    chosen = get_current_context()["params"]
    since, until = chosen["since"], chosen["until"]
    if until and not since:
        message = "Until goes with Since: give a first day, or neither."
        raise StopPipelineError(message)
    if since and chosen.get("allow_deletes") is not None:
        message = "Only a full extraction writes deletes: leave out Since, or their number."
        raise StopPipelineError(message)
    if until and until < since:
        message = f"Until {until} lies before Since {since}: swap them."
        raise StopPipelineError(message)
    return _arguments()


@task
@step
def read_again() -> dict[str, Any]:
    """What was read, table by table, and the deletes that were missed."""
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
    return ["extract", *chosen["tables"], *(days or ["--full"]), *allowed]


extract()
