"""Superset's server: configuration, one-time set-up of its database, gunicorn."""

import json
from dataclasses import dataclass
from pathlib import Path

from lakehouse.postgres import sqlalchemy_url
from lakehouse.settings import SupersetSettings
from stack.net import http_status
from stack.paths import digest_of
from stack.program import Program
from stack.service_user import ServiceUser
from stack.shared import Shared
from stack.superset.state import NAME, prepare_database, read_state, write_state

USER = "admin"
"""Who may change everything."""
VIEWER = "viewer"
"""Who sees the dashboards, and can change nothing."""
THREADS = 8
"""Requests answered at the same time: a dashboard's charts in a few rounds, and no more queries of
the warehouse at once than that."""
_HERE = Path(__file__).parent
_CONFIG = _HERE / "superset_config.py"


@dataclass(frozen=True, kw_only=True)
class SupersetServer(Shared):
    """One Superset, run as the calling user, who owns its Python environment."""

    @property
    def _settings(self) -> SupersetSettings:
        return self.config.superset

    def program(self) -> Program:
        """Return its definition for supervisor."""
        settings = self._settings
        return Program(
            name="superset",
            command=(
                str(self._python), "-m", "gunicorn",
                "--bind", f"{settings.host}:{settings.port}",
                "--workers", "1", "--worker-class", "gthread", "--threads", str(THREADS),
                "--timeout", "120", "--keep-alive", "75", "--no-control-socket",
                "superset.app:create_app()",
            ),
            directory=self._home,
            environment=self._environment,
            is_ours=True,
            start_seconds=3,
            configuration=_CONFIG.read_text() + self._database_url(password="") + self._language,
        )  # fmt: skip

    def prepare(self) -> None:
        """Write the configuration; create the database, and migrate it for a new environment."""
        own = ServiceUser()
        own.make_private_dir(self._home)
        own.write_private(self._home / _CONFIG.name, _CONFIG.read_text())
        own.write_private(self._values_file, json.dumps(self._values))
        prepare_database(self.config.warehouse, self.secrets)
        fill = _HERE / "fill_database.py"
        version = f"{self.cache.superset.name}-{digest_of(fill)}"
        if read_state(self.config.warehouse, self.secrets).get("filled_by") != version:
            command: list[str | Path] = [self._python, "-P", fill, self._values_file]
            own.run(command, env=self._environment, cwd=self._home)
            write_state(self.config.warehouse, self.secrets, filled_by=version)

    def probe(self) -> bool:
        """Return whether it answers requests."""
        return http_status(self._settings.host, self._settings.port, "/health") == 200

    @property
    def _python(self) -> Path:
        return self.cache.superset / "bin" / "python"

    @property
    def _home(self) -> Path:
        return self.data.of("superset")

    @property
    def _values_file(self) -> Path:
        return self._home / "values.json"

    @property
    def _values(self) -> dict[str, str]:
        return {
            "secret_key": self.secrets["superset_key"],
            "database_url": self._database_url(self.secrets["warehouse_superset"]),
            "user": USER,
            "password": self.secrets["superset_admin"],
            "viewer_password": self.secrets["superset_viewer"],
            "language": self._language,
        }

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "SUPERSET_HOME": str(self._home),
            "SUPERSET_CONFIG_PATH": str(self._home / _CONFIG.name),
            "FLASK_APP": "superset.app:create_app()",
            "HOME": str(self._home),
            "PATH": "/usr/bin:/bin",
            # Periods like "Last 7 days" end at midnight of the process: the shop's midnight.
            "TZ": self.config.shop.time_zone,
        }

    @property
    def _language(self) -> str:
        return self.config.shop.language

    def _database_url(self, password: str) -> str:
        return sqlalchemy_url(
            self.config.warehouse, driver="psycopg2", role=NAME, password=password, database=NAME
        )
