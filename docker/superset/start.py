"""Entry point of Superset's container: writes the configuration with secrets, then runs a program.

start.py DATABASE PROGRAM [ARGUMENT]...    DATABASE is HOST:PORT/NAME of Superset's own database.
It is run by Superset's Python, without packages of the project.
"""

import json
import os
import sys
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

_SECRETS = Path("/run/secrets")
_USER = "superset"


def main(database: str, *program: str) -> None:
    """Write both files, readable by this user only, and replace this process by the program."""
    place = Path(os.environ["SUPERSET_CONFIG_PATH"])
    place.write_bytes(Path(__file__).with_name(place.name).read_bytes())
    password = quote(_secret("warehouse_superset"), safe="")
    values = {
        "secret_key": _secret("superset_key"),
        "database_url": f"postgresql+psycopg2://{_USER}:{password}@{database}",
        "user": "admin",
        "password": _secret("superset_admin"),
        "viewer_password": _secret("superset_viewer"),
        "version": f"superset-{version('apache-superset')}-{_digest('fill_database.py')}",
    }
    file = place.with_name("values.json")
    file.touch(mode=0o600)
    file.write_text(json.dumps(values))
    os.execvp(program[0], program)  # noqa: S606 - no shell wanted


def _digest(file: str) -> str:
    return sha256(Path(__file__).with_name(file).read_bytes()).hexdigest()[:8]


def _secret(name: str) -> str:
    return (_SECRETS / name).read_text().strip()


if __name__ == "__main__":
    main(*sys.argv[1:])
