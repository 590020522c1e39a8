"""Checks before a start: access, disk, ports, addresses."""

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from lakehouse.errors import Problem, StopPipelineError, WrongArgumentError
from lakehouse.settings import StackSettings, open_to_all
from lakehouse.variables import parse_security
from stack.catalog import SERVERS
from stack.disk import existing_parent, require_space
from stack.elsewhere import is_elsewhere, is_loopback
from stack.net import holder_of, is_free
from stack.paths import Data, StackConfig
from stack.program import Port, Service
from stack.service_user import ServiceUser

_DATA_MB = 2_000
_UNUSABLE = ',:;#"\\{}%'
"""Characters with a meaning in configuration files: separators, quotes, comments, variables."""


def check_paths(settings: StackSettings, user: ServiceUser) -> None:
    """Check that servers can access the directories and that there is enough disk space.

    Raises:
        StopPipelineError: a directory is not usable; the message names it and says what to do.
    """
    places: dict[str, Path] = {
        "STACK_DATA_DIR": settings.data_dir,
        "STACK_CACHE_DIR": settings.cache_dir,
    }
    for variable, path in places.items():
        _check_name(path, variable)
        _check_access(path, variable)
    require_space(settings.data_dir, _DATA_MB, variable="STACK_DATA_DIR")
    check_owner(settings.data_dir)
    if user.name is None:
        return
    for variable, path in places.items():
        if not open_to_all(existing_parent(path)):
            message = Problem(
                f"{path} cannot be reached by user {user.name}, which runs the servers",
                f"Set {variable} to a directory that others may enter (chmod o+x), or set "
                "STACK_SERVICE_USER, or run as an ordinary user.",
            )
            raise StopPipelineError(message)


def check_owner(data_dir: Path) -> None:
    """Check that the data directory does not belong to another user.

    Raises:
        StopPipelineError: it does; the message says what to do.
    """
    if data_dir.exists() and data_dir.stat().st_uid != os.geteuid():
        message = Problem(
            f"{data_dir} belongs to another user, who has run the stack there",
            "Run as that user, or set STACK_DATA_DIR to a directory of your own.",
        )
        raise StopPipelineError(message)


def check_example(config: StackConfig, data: Data) -> None:
    """Check that the data are of the shop that is meant: our own, or the one of an example.

    Raises:
        WrongArgumentError: they are of another; the message says which, and what to do.
    """
    made = Path(data.example.read_text().strip()) if data.example.is_file() else None
    if config.example is not None and is_elsewhere("oltp", config):
        problem = f"OLTP_HOST is {config.oltp.host}, where --source would make tables and sell"
        raise WrongArgumentError(problem, "Unset it; or without --source: ./pipeline up.")
    if made is None and config.example is not None and data.of("oltp").exists():
        problem = f"{data.root} has the data of another shop already"
        raise WrongArgumentError(problem, "Set STACK_DATA_DIR to a new directory.")
    if made is not None and config.contracts.dir.resolve() != made:
        problem = f"{data.root} has the data of the shop in {made}"
        action = f"export CONTRACTS_DIR={made}, or set STACK_DATA_DIR to another directory."
        raise WrongArgumentError(problem, action)


def check_store(config: StackConfig, data: Data) -> None:
    """Check that no other object store than the one to be started has the lake of this stack.

    Raises:
        WrongArgumentError: it does: bronze would be empty, and the warehouse full.
    """
    other, folder = (
        ("SeaweedFS", data.seaweedfs)
        if config.store == "minio"
        else ("MinIO", data.of("minio") / "objects")
    )
    if folder.exists():
        problem = f"{folder} has the lake of this stack, in {other}, and STACK_STORE names another"
        action = "Unset it, or set STACK_DATA_DIR to a new directory."
        raise WrongArgumentError(problem, action)


def _check_name(path: Path, variable: str) -> None:
    wrong = sorted({c for c in str(path) if c in _UNUSABLE or not c.isprintable()})
    if wrong:
        message = Problem(
            f"{path} cannot be used: the servers' configuration files cannot contain a path with "
            f"{' '.join(map(repr, wrong))} in it",
            f"Set {variable} to another directory.",
        )
        raise StopPipelineError(message)


def _check_access(path: Path, variable: str) -> None:
    try:
        there = existing_parent(path)
    except PermissionError as error:
        message = Problem(
            f"{path} cannot be reached: {error.strerror} in a parent directory",
            f"Set {variable} to a directory of your own.",
        )
        raise StopPipelineError(message) from error
    if not there.is_dir():
        message = Problem(
            f"{path}: {there} is no directory",
            f"Move it, or set {variable} to another directory.",
        )
        raise StopPipelineError(message)


def check_protocols(config: StackConfig, started: Collection[str]) -> None:
    """Check that none of these servers is to be asked by TLS or with a login, which ours lack.

    Raises:
        StopPipelineError: names each such server and the two settings that do not fit.
    """
    protocol = parse_security(config.kafka.security).get("security.protocol", "PLAINTEXT")
    asked = {
        "kafka": ("KAFKA_SECURITY", protocol, "PLAINTEXT"),
        "connect": ("CONNECT_SCHEME", config.connect.scheme, "http"),
        "minio": ("MINIO_SCHEME", config.minio.scheme, "http"),
    }
    problems = [
        Problem(
            f"{variable} asks for {value}, and {name} is started here with {ours} only",
            f"Unset {variable}, or set {name.upper()}_HOST to the address of that server.",
        )
        for name, (variable, value, ours) in asked.items()
        if name in started and value != ours
    ]
    if problems:
        raise StopPipelineError("\n".join(problems))


def check_ports(services: Iterable[Service]) -> None:
    """Check that all ports are free and all addresses are loopback addresses.

    Raises:
        StopPipelineError: names every such port, the process that uses it, and the setting.
    """
    problems = list(port_problems(services))
    if problems:
        raise StopPipelineError("\n".join(problems))


def port_problems(services: Iterable[Service]) -> Iterator[Problem]:
    """Yield a problem for each port that its service cannot have."""
    taken: dict[int, str] = {}
    for service in services:
        for port in service.ports:
            if port.number in taken:
                yield Problem(
                    f"{service.name}: {port.variable} and {taken[port.number]} are both "
                    f"{port.number}",
                    "Set one of them to another port.",
                )
                continue
            taken[port.number] = port.variable
            if not is_loopback(port.host):
                yield Problem(
                    f"{service.name}: {port.host} is not a loopback address; servers started here "
                    "listen on loopback only",
                    f"Unset {port.host_variable or port.variable.split('_')[0] + '_HOST'}.",
                )
            elif not is_free(port.host, port.number):
                yield Problem(
                    f"{service.name}: port {port.number} is in use by {holder_of(port.number)}",
                    f"Stop that, or set {port.variable} to a free port{_to_use(service, port)}.",
                )


def _to_use(service: Service, port: Port) -> str:
    """Return how the server that has the port becomes the one that is used."""
    if service.name not in SERVERS or port != service.ports[0]:
        return ""
    setting = f"{service.name.upper()}_HOST={port.host}"
    # A stack that has data of its own server keeps it.
    place = ", and STACK_DATA_DIR to a new directory" if service.program.directory.exists() else ""
    return f"; to use that server itself, set {setting}{place}"
