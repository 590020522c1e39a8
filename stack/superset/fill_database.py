"""Migration of Superset's database, with roles, administrator and viewer; run by Superset's Python.

Superset's own commands would need three starts of half a minute each.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

_VIEWER = "viewer"
_SEES_TOO = {
    ("all_datasource_access", "all_datasource_access"),
    ("can_csv", "Superset"),
    ("can_language_pack", "Superset"),
    ("can_log", "Superset"),
    ("can_view_chart_as_table", "Dashboard"),
    ("menu_access", "Dashboards"),
}
"""What a viewer may do besides what Superset allows a public visitor of dashboards."""
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
    """Migrate, create roles, administrator and viewer. Idempotent."""
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
    with app.app_context():
        _add_viewer(app.appbuilder.sm, values["viewer_password"])


def _add_viewer(manager: Any, password: str) -> None:  # noqa: ANN401 - of Superset's environment
    role = manager.add_role("Viewer")
    for name, view in sorted(manager.PUBLIC_ROLE_PERMISSIONS | _SEES_TOO):
        permission = manager.find_permission_view_menu(name, view)
        if permission is not None:
            manager.add_permission_role(role, permission)
    user = manager.find_user(_VIEWER) or manager.add_user(
        _VIEWER, "Shop", "Viewer", "viewer@localhost", role, password
    )
    manager.reset_password(user.id, password)


if __name__ == "__main__":
    main()
