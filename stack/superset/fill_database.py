"""Migration of Superset's database, with roles and the administrator; run by Superset's Python.

Superset's own commands would need three starts of half a minute each.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import psycopg2
from psycopg2 import sql

_NOTE = "select shobj_description(oid, 'pg_database') from pg_database where datname = %s"


def main() -> None:
    """Run with the path of the file with values, so that passwords are in no process list.

    A version among the values is stored at the database; a stored version is not applied again.
    """
    values = json.loads(Path(sys.argv[1]).read_text())
    done = {"filled_by": values["version"]} if "version" in values else {}
    if not done:
        fill(values)
        return
    with psycopg2.connect(values["database_url"].replace("+psycopg2", "")) as connection:
        name = connection.info.dbname
        cursor = connection.cursor()
        cursor.execute(_NOTE, [name])
        note = json.loads(cursor.fetchone()[0] or "{}")
        if note.items() >= done.items():
            return
        fill(values)
        text = sql.Literal(json.dumps({**note, **done}))
        cursor.execute(sql.SQL("comment on database {} is {}").format(sql.Identifier(name), text))


def fill(values: Mapping[str, str]) -> None:
    """Migrate, create roles and administrator. Idempotent."""
    # Superset takes half a minute to import.
    from flask.cli import ScriptInfo  # noqa: PLC0415
    from superset.app import create_app  # noqa: PLC0415
    from superset.cli.main import superset  # noqa: PLC0415

    who = ("--username", values["user"], "--password", values["password"])
    about = ("--firstname", "Shop", "--lastname", "Admin", "--email", "admin@localhost")
    app = create_app()
    for command in (
        ("db", "upgrade"),
        ("fab", "create-admin", *who, *about),
        ("fab", "reset-password", *who),
        ("init",),
    ):
        info = ScriptInfo(create_app=lambda: app)
        superset.main(list(command), obj=info, standalone_mode=False)


if __name__ == "__main__":
    main()
