"""Passwords: generated once, in a place that only its owner can read; one per role.

A place is a JSON file (the native stack's), a file of variables (`.env`, Compose's), or a folder
with one file per role (`/run/secrets`, a container's).
"""

import json
import os
import secrets
import string
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from typing_extensions import override

from lakehouse.errors import StopPipelineError

ROLES = (
    "oltp_admin",
    "oltp_simulator",
    "oltp_debezium",
    "oltp_monitor",
    "oltp_reconcile",
    "oltp_extract",
    "warehouse_admin",
    "warehouse_batch",
    "warehouse_live",
    "warehouse_reader",
    "warehouse_monitor",
    "warehouse_airflow",
    "warehouse_superset",
    "minio_admin",
    "minio_lander",
    "minio_batch",
    "minio_reader",
    "airflow_admin",
    "airflow_keys",
    "superset_admin",
    "superset_key",
    "grafana_admin",
)
_ALPHABET = string.ascii_letters + string.digits


class Secrets:
    """The password of each role in `ROLES`. Its representation names roles only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values = _read(path)

    @override
    def __repr__(self) -> str:
        return f"Secrets({sorted(self._values)})"

    def __getitem__(self, role: str) -> str:
        """Password of `role`.

        Raises:
            StopPipelineError: there is none yet.
        """
        try:
            return self._values[role]
        except KeyError:
            message = f"{self._path} holds no password for {role}. {_way_out(self._path, role)}"
            raise StopPipelineError(message) from None

    def __contains__(self, role: str) -> bool:
        return role in self._values

    def complete(self) -> "Secrets":
        """Generate what is missing, and write the file (owner only, replaced in one step).

        What another process has generated in the meantime is taken over.
        """
        self._values = _read(self._path)
        missing = {r: generate() for r in ROLES if r not in self._values}
        if missing:
            self._values |= missing
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(".part")
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                json.dump(self._values, file, indent=2)
            part.replace(self._path)
        return self


def generate(length: int = 24) -> str:
    """A password of letters and digits, so that it needs no quoting anywhere."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def variable_of(role: str) -> str:
    """The variable that holds a role's password in a file of variables."""
    return f"{role}_password".upper()


def read_variables(text: str) -> dict[str, str]:
    """The variables of a file such as `.env`, read as Compose does: quotes, comments, the last."""
    values = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value or "" for name, value in values.items()}


def _read(path: Path) -> dict[str, str]:
    try:
        if path.is_dir():
            return {role: (path / role).read_text().strip() for role in _roles_in(path)}
        if path.name.endswith(".env"):
            values = read_variables(path.read_text())
            return {r: values[variable_of(r)] for r in ROLES if values.get(variable_of(r))}
        values = json.loads(path.read_text())
        return {str(role): str(value) for role, value in values.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        message = f"{path} cannot be read as passwords: {error}. Restore it, or move it away."
        raise StopPipelineError(message) from error


def _roles_in(folder: Path) -> list[str]:
    """Those that this container was given; files of others' making are left alone."""
    return [role for role in ROLES if (folder / role).is_file()]


def _way_out(path: Path, role: str) -> str:
    if path.is_dir():
        return f"Give this container the secret {role}: `secrets` of its service."
    return f"Run `./pipeline {'env init' if path.name.endswith('.env') else 'up'}` first."
