"""Commands that work while mapping.yaml is faulty: those that look, stop, or help to correct it."""

from collections.abc import Callable, Sequence
from typing import Any

from typer.core import TyperGroup

from cli.output import err_console
from lakehouse.errors import PipelineError

WITHOUT_MAPPING = frozenset({
    "check", "connect status", "doctor", "down", "env init", "lock", "logs", "new entity",
    "new mapping", "open", "reset", "runs show", "settings", "source check", "source remove",
    "status",
})  # fmt: skip
"""Their results do not depend on contracts, nor do those of `runs` and `forecast`, which are groups
of commands. All others keep refusing."""
TELLING_IT = frozenset({"doctor", "source check"})
"""Those of `WITHOUT_MAPPING` that report the fault themselves."""


def require_mapping() -> None:
    """Refuse what reads or writes data by contracts, while the mapping is faulty."""
    from lakehouse.contracts import MAPPING_FAULT

    if MAPPING_FAULT is not None:
        raise MAPPING_FAULT


def require_mapping_where_needed(
    group: TyperGroup, fault: PipelineError, path: Sequence[str] = ()
) -> None:
    """Let each command of a group tell the fault when it is run, or refuse. Help stays as it is."""
    for name, command in group.commands.items():
        here = (*path, name)
        if isinstance(command, TyperGroup):
            require_mapping_where_needed(command, fault, here)
        elif command.callback is not None and " ".join(here) not in TELLING_IT:
            is_refused = " ".join(here) not in WITHOUT_MAPPING
            command.callback = _checked(command.callback, fault, is_refused=is_refused)


def _checked(
    run: Callable[..., Any], fault: PipelineError, *, is_refused: bool
) -> Callable[..., Any]:
    def check(**given: Any) -> Any:  # noqa: ANN401 - of each option's type
        if is_refused:
            raise fault
        told = f"Warning: the mapping is faulty, and not used here. {fault}"
        err_console.print(told, markup=False, style="yellow", soft_wrap=True)
        return run(**given)

    return check
