"""The file `.env` of Docker Compose: created once; later runs only add missing variables."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lakehouse.errors import StopPipelineError
from lakehouse.secrets import ROLES, generate, read_variables, variable_of
from lakehouse.settings import ROOT

COMPOSE_FILE = ROOT / "docker-compose.yml"
_DEFAULTS = re.compile(r"\$\{([A-Z0-9_]+):-([^}]*)\}")
_SHOWN = re.compile(r"^[ \t]*#[ \t]*([A-Z0-9_]+)=", re.MULTILINE)
_HEAD = """\
# Created by ./pipeline env init, for docker compose and for STACK_ENGINE=compose ./pipeline …
# It contains passwords: keep it private. Existing values are kept: a further init only adds.
# Any setting listed by ./pipeline settings may be set here, too.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A variable of the file.

    Attributes:
        name: the variable.
        value: what it is set to.
        comment: comment above it.
        is_default: written as a comment: Compose's default applies unless it is uncommented.
    """

    name: str
    value: str
    comment: str = ""
    is_default: bool = False

    @property
    def text(self) -> str:
        """Return its lines, without quotation marks, which could end an earlier quoted value."""
        above = f"\n# {self.comment}\n" if self.comment else ""
        return f"{above}{'# ' if self.is_default else ''}{self.name}={self.value}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Result of `make`: added variables, and those whose values were taken over."""

    added: tuple[str, ...]
    taken_over: tuple[str, ...]


def make(path: Path, *, passwords: Mapping[str, str], given: Mapping[str, str]) -> Made:
    """Add the variables that Compose needs to the file. Idempotent.

    Args:
        path: the file.
        passwords: existing passwords by role, which existing data was created with.
        given: values from the environment.

    Raises:
        StopPipelineError: the file cannot be read or written.
    """
    path = path.resolve()
    try:
        before = path.read_text() if path.exists() else ""
        wanted = entries(COMPOSE_FILE.read_text(), passwords=passwords, given=given)
        text, added = completed(before, wanted)
        _write_private(path, text)
    except (OSError, UnicodeDecodeError) as error:
        problem = f"{path} cannot be written: {error}"
        action = "Fix this, or set STACK_ENV_FILE to another file."
        raise StopPipelineError(problem, action) from error
    known = {variable_of(role) for role in passwords} | given.keys()
    return Made(added=added, taken_over=tuple(name for name in added if name in known))


def entries(
    compose: str, *, passwords: Mapping[str, str], given: Mapping[str, str]
) -> tuple[Entry, ...]:
    """Return all variables of the file, in order. `compose` is the text of docker-compose.yml."""
    chosen = (
        Entry(
            name="COMPOSE_PROFILES",
            value="core,orchestration,dashboards",
            comment="Profiles to start: core, orchestration, dashboards, monitoring.",
        ),
        Entry(
            name="COMPOSE_PROJECT_NAME",
            value="shop",
            comment="Name of containers, volumes and networks: another name is another stack.",
        ),
        Entry(
            name="BIND_ADDRESS",
            value="127.0.0.1",
            comment="Address on which ports are published: 127.0.0.1 is for this machine only.",
        ),
        Entry(
            name="PUBLIC_HOST",
            value="127.0.0.1",
            comment="Host name of this machine for browsers and external Kafka clients.",
        ),
        *_ports(),
        Entry(
            name="CONNECT_SECRETS_DIR",
            value="/run/secrets",
            comment="Folder in the container of Connect with the password for the shop.",
        ),
    )
    named = {entry.name for entry in chosen}
    defaults = [e for e in _defaults(compose) if e.name not in named]
    return tuple(_as_given(entry, given) for entry in (*chosen, *defaults, *_passwords(passwords)))


def completed(text: str, wanted: Iterable[Entry]) -> tuple[str, tuple[str, ...]]:
    """Return the text with missing entries appended, and the names of the added variables.

    A variable with an empty value counts as missing; a commented one does not.
    """
    there = {name for name, value in read_variables(text).items() if value}
    seen = {*there, *_SHOWN.findall(text)}
    missing = [e for e in wanted if e.name not in (seen if e.is_default else there)]
    if not missing:
        return text, ()
    begin = text or _HEAD
    end = "" if begin.endswith("\n") else "\n"
    return (
        begin + end + "".join(entry.text for entry in missing),
        tuple(entry.name for entry in missing if not entry.is_default),
    )


def _ports() -> list[Entry]:
    ports = {
        "SUPERSET_PORT": 8088, "AIRFLOW_PORT": 8080, "MINIO_CONSOLE_PORT": 9001,
        "MINIO_PORT": 9000, "OLTP_PORT": 5432, "WAREHOUSE_PORT": 5433, "KAFKA_PORT": 9092,
        "CONNECT_PORT": 8083, "MONITORING_PORT": 9090, "GRAFANA_PORT": 3000,
    }  # fmt: skip
    comment = "Published ports."
    return [
        Entry(name=name, value=str(port), comment="" if number else comment)
        for number, (name, port) in enumerate(ports.items())
    ]


def _defaults(compose: str) -> list[Entry]:
    comment = (
        "Images, base images, memory limits and more, with the defaults of docker-compose.yml."
    )
    found = dict(_DEFAULTS.findall(compose))
    return [
        Entry(name=name, value=value, comment="" if number else comment, is_default=True)
        for number, (name, value) in enumerate(sorted(found.items()))
    ]


def _passwords(known: Mapping[str, str]) -> list[Entry]:
    comment = (
        "Passwords, one per role. Postgres and MinIO keep those that their data was created with."
    )
    return [
        Entry(
            name=variable_of(role),
            value=known.get(role) or generate(),
            comment="" if number else comment,
        )
        for number, role in enumerate(ROLES)
    ]


def _as_given(entry: Entry, given: Mapping[str, str]) -> Entry:
    value = given.get(entry.name)
    if value is None:
        return entry
    return Entry(name=entry.name, value=value, comment=entry.comment)


def _write_private(path: Path, text: str) -> None:
    """Write the file so that at any time only its owner can read it."""
    if path.exists() and path.read_text() == text:
        path.chmod(0o600)
        return
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
