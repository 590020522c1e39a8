"""What a program of the stack is: how it is started, stopped, and known to be ready."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.errors import StopPipelineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port that a program listens on, and the variable that sets it."""

    variable: str
    host: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A process under supervision."""

    name: str
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    is_ours: bool = False
    """Whether it runs as the caller; servers run as the service user."""
    stop_signal: str = "TERM"
    stop_seconds: int = 20
    start_seconds: int = 1
    """Dying sooner than this is a failed start."""
    final_exit_status: int | None = None
    """An end with this status is meant: it is not started again."""
    niceness: int = 0
    """How far it stands back for others when cores are short: 0 for all that a sale passes through
    on its way to charts, more for what may come later."""
    configuration: str = field(default="", repr=False)
    """What its configuration files say: another text is a reason to restart it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A program with what surrounds it."""

    program: Program
    title: str
    url: str
    ports: tuple[Port, ...]
    needs: tuple[str, ...] = ()
    prepare: Callable[[], None]
    """Before a start: data directory and configuration; changes nothing the second time."""
    probe: Callable[[], bool]
    """Whether it answers."""

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return self.program.name


_FORMER = {"keeper": "auto-restart", "watcher": "exporter"}
"""Names of services until version 0.1."""


def with_needs(names: Iterable[str], services: Mapping[str, Service]) -> list[str]:
    """`names` and all they need, every service after those it needs.

    Raises:
        StopPipelineError: a name that is none of the services.
    """
    ordered: list[str] = []

    def visit(name: str) -> None:
        name = _FORMER.get(name, name)
        if name not in services:
            message = f"There is no service {name!r}. Services: {', '.join(services)}."
            raise StopPipelineError(message)
        if name not in ordered:
            for need in services[name].needs:
                visit(need)
            ordered.append(name)

    for name in names:
        visit(name)
    return ordered
