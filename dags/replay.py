"""Manually triggered replay, with its parameters as a form."""

from typing import Any

from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from lakehouse.errors import StopPipelineError
from orchestration.defaults import by_hand, tables_to_choose
from orchestration.steps import step
from orchestration.task_log import log_table

# Airflow's form stars what may not be null, and so what may be empty must be nullable.
_OFFSETS = {
    "type": ["null", "array"],
    "items": {"type": "string", "pattern": "^[0-9]+:[0-9]+$"},
    "description": "Partition:offset, one per line, such as 0:1500. Others are excluded.",
}
_TIME = "Such as 2026-11-25T08:00:00+00:00."


@dag(
    description="Applies a range of changes to a layer again, or shows what that would do.",
    schedule=None,
    **by_hand(),
    params={
        "dry_run": Param(default=True, type=["null", "boolean"], title="Dry run",
                         description="Only show what would be read and recomputed."),
        "into": Param(
            "silver",
            enum=["bronze", "silver", "gold", "warehouse", "live"],
            title="Into",
            description="The layer to apply the range to. The layers above it are updated, too.",
        ),
        "entities": tables_to_choose("Tables of the shop. Choose some, or all of them below."),
        "all_tables": Param(default=False, type=["null", "boolean"], title="All tables",
                            description="Instead of choosing tables."),
        "from_offsets": Param(None, title="From offsets", **_OFFSETS),
        "to_offsets": Param(None, title="To offsets (inclusive)", **_OFFSETS),
        "from_time": Param(None, type=["null", "string"], format="date-time", title="From time",
                           description=_TIME),
        "to_time": Param(None, type=["null", "string"], format="date-time", title="To time",
                         description=_TIME),
        "only": Param(default=False, type=["null", "boolean"], title="Only this layer",
                      description="Do not update the layers above."),
    },
)  # fmt: skip
def replay() -> None:
    """Applies a range of changes to a layer and those above it again, and compares the tables.

    `resolve_range` resolves the range and shows it; it fails if the range is wrong or partly
    unavailable. With "Dry run", the default, that is all, and `apply_again` is skipped. Otherwise
    that task applies the range, while other runs continue. After an interruption it
    resumes where it stopped. With unchanged code and contracts each table has the same digest
    before and after; differing rows are in the log.

    `./pipeline replay` does the same.
    """
    resolve_range() >> apply_again()


@task
@step
def resolve_range() -> list[dict[str, Any]]:
    """Resolve the range; returns its offsets and what would be recomputed."""
    from orchestration.command import run_command

    found = run_command([*_arguments(), "--dry-run"])
    log_table(found["ranges"])
    log_table(found["plan"])
    ranges: list[dict[str, Any]] = found["ranges"]
    return ranges


# Killed while it replaces a range of bronze, and tried on another machine, it has to wait until its
# own lease has expired, for an hour at most.
@task(retries=12)
@step
def apply_again() -> dict[str, Any]:
    """Run the replay; returns the comparison of each table before and after."""
    from orchestration.command import run_command

    if get_current_context()["params"]["dry_run"]:
        message = "A dry run: nothing was changed. The log of resolve_range has the plan."
        raise AirflowSkipException(message)
    found = run_command(_arguments())
    names = ("layer", "table", "before", "after", "is_equal", "added", "changed", "removed")
    log_table([{name: one[name] for name in names} for one in found["tables"]])
    return found


def _arguments() -> list[str]:
    chosen = get_current_context()["params"]
    if bool(chosen["entities"]) == bool(chosen["all_tables"]):
        problem = "Neither tables were chosen nor all of them, or both"
        raise StopPipelineError(problem, "Choose Tables, or switch on All tables.")
    given = ["replay", "--into", chosen["into"]]
    given += ["--only"] if chosen["only"] else []
    given += ["--all"] if chosen["all_tables"] else []
    for option, name in (
        ("--entity", "entities"),
        ("--from-offset", "from_offsets"),
        ("--to-offset", "to_offsets"),
    ):
        for value in chosen[name] or ():
            given += [option, value]
    for option, name in (("--from-time", "from_time"), ("--to-time", "to_time")):
        given += [option, chosen[name]] if chosen[name] else []
    return given


replay()
