"""Airflow's programs, with a common configuration file that only its owner can read."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from lakehouse.postgres import sqlalchemy_url
from lakehouse.secrets import Secrets
from lakehouse.settings import ROOT, AirflowSettings, MonitoringSettings, WarehouseSettings
from lakehouse.version import code_version
from stack.airflow.client import DAGS
from stack.airflow.health import health
from stack.net import http_status
from stack.paths import Data, mapping_digest
from stack.postgres.program import ProgramDatabase
from stack.program import Program
from stack.service_user import ServiceUser

USER = "admin"
"""User of the web UI."""
_TEMPLATE = Path(__file__).with_name("airflow.cfg")
_FORKS = ("scheduler", "dag-processor")
"""Programs that import our code once, for the processes that they fork."""


@dataclass(frozen=True, kw_only=True)
class Airflow:
    """One Airflow, whose tasks run in its scheduler's process group, as the calling user.

    `variables` are the project's settings as environment of the tasks; `python` is the interpreter
    with Airflow's packages, and `version` identifies these.
    """

    settings: AirflowSettings
    monitoring: MonitoringSettings
    warehouse: WarehouseSettings
    secrets: Secrets
    variables: Mapping[str, str]
    python: Path
    version: str
    data: Data

    def program(self, name: str, *command: str, stop_seconds: int = 20) -> Program:
        """Return the definition of one of its programs for supervisor."""
        forks = command[0] in _FORKS
        module = "orchestration.preloaded" if forks else "airflow"
        return Program(
            name=name,
            command=(str(self.python), "-P", "-m", module, *command),
            directory=self._home,
            environment=self._environment,
            is_ours=True,
            stop_seconds=stop_seconds,
            start_seconds=3,
            niceness=10,
            configuration=self._configuration()
            + (code_version() + mapping_digest() if forks else ""),
        )

    def configure(self) -> None:
        """Write the configuration."""
        own = ServiceUser()
        for folder in (self._home, self._home / "logs"):
            own.make_private_dir(folder)
        own.write_private(self._config_file, self._filled_in())
        password = self.secrets["airflow_admin"]
        own.write_private(self._passwords_file, json.dumps({USER: password}) + "\n")

    def prepare(self) -> None:
        """Write the configuration; create the database and migrate it to this version."""
        self.configure()
        database = ProgramDatabase(name="airflow", warehouse=self.warehouse, secrets=self.secrets)
        database.prepare()
        if database.note() != self.version:
            command: list[str | Path] = [self.python, "-P", "-m", "airflow", "db", "migrate"]
            ServiceUser().run(command, env=self._environment, cwd=self._home)
            database.write_note(self.version)

    def answers(self) -> bool:
        """Return whether the server answers requests."""
        settings = self.settings
        return http_status(settings.host, settings.port, "/api/v2/version") == 200

    def is_healthy(self, part: str) -> bool:
        """Return whether a component without a port, such as `scheduler`, is healthy."""
        return health(self.settings).get(part) == "healthy"

    @property
    def _home(self) -> Path:
        return self.data.of("airflow")

    @property
    def _config_file(self) -> Path:
        return self._home / "airflow.cfg"

    @property
    def _passwords_file(self) -> Path:
        return self._home / "passwords.json"

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **self.variables,
            "AIRFLOW_HOME": str(self._home),
            "AIRFLOW_CONFIG": str(self._config_file),
            "PYTHONPATH": str(ROOT),
            # Process titles would overwrite the environment, which identifies our processes.
            "SPT_NOENV": "1",
        }

    def _configuration(self) -> str:
        """Return the configuration with placeholders for passwords and keys."""
        values = {
            "dags": DAGS,
            "parallelism": self.settings.parallelism,
            "url": self.settings.url,
            "pages_url": self.settings.pages_url,
            "host": self.settings.host,
            "port": self.settings.port,
            "user": USER,
            "passwords": self._passwords_file,
            "logs": self._home / "logs",
            "statsd_host": self.monitoring.host,
            "statsd_port": self.monitoring.statsd_port,
        }
        # The parser of this file interpolates names after a %.
        escaped = {name: str(value).replace("%", "%%") for name, value in values.items()}
        return Template(_TEMPLATE.read_text()).safe_substitute(escaped)

    def _filled_in(self) -> str:
        return Template(self._configuration()).substitute(
            database=self._database_url(),
            fernet_key=self._key("fernet"),
            session_key=self._key("session"),
            token_key=self._key("token"),
        )

    def _database_url(self) -> str:
        url = sqlalchemy_url(
            self.warehouse,
            driver="psycopg",
            role="airflow",
            password=self.secrets["warehouse_airflow"],
            database="airflow",
        )
        return url.replace("%", "%%")

    def _key(self, purpose: str) -> str:
        """Return a Fernet key of 32 bytes."""
        secret = f"{purpose}:{self.secrets['airflow_keys']}"
        return base64.urlsafe_b64encode(hashlib.sha256(secret.encode()).digest()).decode()
