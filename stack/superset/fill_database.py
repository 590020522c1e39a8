"""Run by Superset's Python: brings its database to its schema, with roles and the administrator.

What its command line does in three starts of half a minute each, in one.
"""

import json
import sys
from pathlib import Path

from flask.cli import ScriptInfo
from superset.app import create_app
from superset.cli.main import superset


def main() -> None:
    """The argument is the file with the values: no list of processes shows a password."""
    values = json.loads(Path(sys.argv[1]).read_text())
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
