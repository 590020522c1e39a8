"""Run by Superset's Python: brings its database to its schema, with roles and the administrator.

What its command line does in three starts of half a minute each, in one.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import psycopg2
from psycopg2 import sql

_NOTE = "select shobj_description(oid, 'pg_database') from pg_database where datname = %s"


def main() -> None:
    """The argument is the file with the values: no list of processes shows a password.

    Where they tell a version, this is noted at the database, and what is noted is not done again.
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
    """All of it; done twice is done once."""
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
