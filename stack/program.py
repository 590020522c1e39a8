"""Definitions of programs and services: command, stop signal, readiness."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lakehouse.choices import refuse_unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port that a program listens on, and the variable that sets it."""

    variable: str
    host: str
    number: int
    host_variable: str = ""
    """The variable that sets the host, if it is not that of the service."""
    is_published: bool = True
    """Whether Compose opens it to the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A process under supervision."""

    name: str
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    is_ours: bool = False
    """Whether it runs as the calling user; servers run as the service user."""
    stop_signal: str = "TERM"
    stop_seconds: int = 20
    start_seconds: int = 1
    """An exit before this many seconds is a failed start."""
    final_exit_status: int | None = None
    """Exit status after which it is not restarted."""
    niceness: int = 0
    """Niceness: 0 for programs between the shop and live charts, higher for others."""
    configuration: str = field(default="", repr=False)
    """Content of its configuration files; a change causes a restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A program with its preparation, readiness check and dependencies."""

    program: Program
    title: str
    url: str
    ports: tuple[Port, ...]
    needs: tuple[str, ...] = ()
    prepare: Callable[[], None]
    """Creates data directory and configuration before a start. Idempotent."""
    probe: Callable[[], bool]
    """Returns whether it answers."""

    @property
    def name(self) -> str:
        """Name on the command line."""
        return self.program.name


class Server(Protocol):
    """A program that prepares itself, and knows whether it answers."""

    def program(self) -> Program:
        """Return its definition for supervisor."""

    def prepare(self) -> None:
        """Create data directory and configuration before a start. Idempotent."""

    def probe(self) -> bool:
        """Return whether it answers."""


def service_of(
    server: Server, *ports: Port, title: str, url: str, needs: tuple[str, ...] = ()
) -> Service:
    """Return a server as a service."""
    return Service(
        program=server.program(),
        title=title,
        url=url,
        ports=ports,
        needs=needs,
        prepare=server.prepare,
        probe=server.probe,
    )


_FORMER = {"keeper": "auto-restart", "watcher": "exporter"}
"""Current names of services by their names until version 0.1."""


def with_needs(names: Iterable[str], services: Mapping[str, Service]) -> list[str]:
    """Return `names` and their dependencies, every service after its dependencies.

    Raises:
        WrongArgumentError: there is no service of a name.
    """
    ordered: list[str] = []

    def visit(name: str) -> None:
        name = _FORMER.get(name, name)
        if name not in services:
            refuse_unknown("service", [name], services)
        if name not in ordered:
            for need in services[name].needs:
                visit(need)
            ordered.append(name)

    for name in names:
        visit(name)
    return ordered
