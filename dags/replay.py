"""A replay, with its parameters as a form: checked first, then done."""

from typing import Any

from airflow.sdk import Param, dag, get_current_context, task
from orchestration.defaults import by_hand, tables_to_choose
from orchestration.steps import step
from orchestration.task_log import log_table

_PLACES = "Partition:offset, one a line, such as 0:1500. Partitions not named are left out."
_TIME = "Such as 2026-11-25T08:00:00+00:00."


@dag(
    schedule=None,
    **by_hand(),
    params={
        "into": Param(
            "silver",
            enum=["bronze", "silver", "gold", "warehouse", "live"],
            title="Into",
            description="The layer that takes the range in again. Those above it follow.",
        ),
        "entities": tables_to_choose(),
        "from_offsets": Param([], type="array", title="From offsets", description=_PLACES,
                              items={"type": "string", "pattern": "^[0-9]+:[0-9]+$"}),
        "to_offsets": Param([], type="array", title="To offsets, included", description=_PLACES,
                            items={"type": "string", "pattern": "^[0-9]+:[0-9]+$"}),
        "from_time": Param(None, type=["null", "string"], format="date-time", title="From time",
                           description=_TIME),
        "to_time": Param(None, type=["null", "string"], format="date-time", title="To time",
                         description=_TIME),
        "only": Param(default=False, type="boolean", title="Only this layer",
                      description="Leave the layers above as they are."),
    },
)  # fmt: skip
def replay() -> None:
    """Takes a range of changes in again, into one layer and those above it, and proves the outcome.

    `resolve_range` resolves the range and shows it; where it makes no sense, or part of it is gone,
    the run ends there. `apply_again` does it, beside whatever else runs. Cut off, it goes on where
    it stopped. With the code and contracts of before, each table has the same digest before and
    after; what differs is in the log.

    `./pipeline replay` does the same.
    """
    resolve_range() >> apply_again()


@task
@step
def resolve_range() -> list[dict[str, Any]]:
    """What the range stands for, and what would be made anew."""
    from orchestration.command import run_command

    found = run_command([*_arguments(), "--dry-run"])
    log_table(found["ranges"])
    log_table(found["plan"])
    ranges: list[dict[str, Any]] = found["ranges"]
    return ranges


@task
@step
def apply_again() -> dict[str, Any]:
    """Each table before and after."""
    from orchestration.command import run_command

    found = run_command(_arguments())
    names = ("layer", "table", "before", "after", "is_equal", "added", "changed", "removed")
    log_table([{name: one[name] for name in names} for one in found["tables"]])
    return found


def _arguments() -> list[str]:
    chosen = get_current_context()["params"]
    given = ["replay", "--into", chosen["into"]]
    given += ["--only"] if chosen["only"] else []
    given += [] if chosen["entities"] else ["--all"]
    for option, name in (
        ("--entity", "entities"),
        ("--from-offset", "from_offsets"),
        ("--to-offset", "to_offsets"),
    ):
        for value in chosen[name]:
            given += [option, value]
    for option, name in (("--from-time", "from_time"), ("--to-time", "to_time")):
        given += [option, chosen[name]] if chosen[name] else []
    return given


replay()
