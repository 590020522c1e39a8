"""Passwords: generated once, one per role, stored so that only their owner can read them.

Stored in a JSON file (the native stack), a file of variables (`.env`, Compose), or a folder
with one file per role (`/run/secrets`, in a container).
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
    "superset_viewer",
    "superset_key",
    "grafana_admin",
    "mask_salt",
)
GIVEN = tuple(
    f"minio_{user}_{what}"
    for user in ("lander", "batch", "reader")
    for what in ("access_key", "session_token")
)
"""What another object store than ours has given for a user, beside its secret key."""
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
        """Return the password of `role`.

        Raises:
            StopPipelineError: it does not exist yet.
        """
        try:
            return self._values[role]
        except KeyError:
            problem = f"{self._path} holds no password for {role}"
            raise StopPipelineError(problem, _way_out(self._path, role)) from None

    def given(self, name: str) -> str | None:
        """Return one of `GIVEN`; None if it is not there."""
        return self._values.get(name)

    def __contains__(self, role: str) -> bool:
        return role in self._values

    def complete(self) -> "Secrets":
        """Generate missing passwords, and write the file (owner only, replaced atomically).

        Passwords that another process generated in the meantime are kept.
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
    """Return a password of letters and digits, which needs no quoting anywhere."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def variable_of(role: str) -> str:
    """Return the variable that holds a role's password in a file of variables."""
    return f"{role}_password".upper()


def read_variables(text: str) -> dict[str, str]:
    """Read a file such as `.env` as Compose does: quotes, comments, the last assignment wins."""
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
        problem = f"{path} cannot be read as passwords: {error}"
        raise StopPipelineError(problem, "Restore it, or move it away.") from error


def _roles_in(folder: Path) -> list[str]:
    """Return the roles whose secrets this container has; other files are ignored."""
    return [role for role in (*ROLES, *GIVEN) if (folder / role).is_file()]


def _way_out(path: Path, role: str) -> str:
    if path.is_dir():
        return f"Give this container the secret {role}: `secrets` of its service."
    return f"Run `./pipeline {'env init' if path.name.endswith('.env') else 'up'}` first."
