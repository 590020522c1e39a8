"""A Postgres server: the cluster is created once, its configuration written at each start."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from lakehouse.errors import StopPipelineError
from lakehouse.settings import OltpSettings, WarehouseSettings
from stack.program import Program
from stack.shared import Shared

_FILES = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class PostgresServer(Shared):
    """One Postgres server; `name` is that of its configuration file, data directory and log.

    `values` are parameters of Postgres that come from the project's settings.
    """

    name: str
    settings: OltpSettings | WarehouseSettings
    values: Mapping[str, str]

    def program(self) -> Program:
        """Return its definition for supervisor."""
        data_dir = self.data.of(self.name)
        return Program(
            name=self.name,
            command=(str(self.cache.postgres_programs / "postgres"), "-D", str(data_dir)),
            directory=data_dir,
            # Fast shutdown, which ends sessions; SIGTERM would wait for them.
            stop_signal="INT",
            stop_seconds=30,
            configuration=self._configuration(),
        )

    def prepare(self) -> None:
        """Create the cluster once, atomically, and write its configuration."""
        data_dir = self.data.of(self.name)
        if not (data_dir / "PG_VERSION").exists():
            self._make_cluster(data_dir)
        self.user.write_private(data_dir / "postgresql.conf", self._configuration())

    def probe(self) -> bool:
        """Return whether it accepts connections.

        Raises:
            StopPipelineError: it refuses the password.
        """
        try:
            with psycopg.connect(
                host=self.settings.host, port=self.settings.port, user="admin",
                password=self._password, dbname="postgres", connect_timeout=2,
            ) as connection:  # fmt: skip
                connection.execute("select 1")
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                problem = (
                    f"{self.name}: the admin's password is not the one this data was made with"
                )
                action = "Restore secrets.json, or delete all data with ./pipeline reset"
                raise StopPipelineError(problem, action) from error
            return False
        return True

    @property
    def _password(self) -> str:
        return self.secrets[f"{self.name}_admin"]

    def _configuration(self) -> str:
        values = {
            "listen_addresses": self.settings.host,
            "port": str(self.settings.port),
            "unix_socket_directories": "",
            **self.values,
        }
        lines = [f"{name} = '{value}'\n" for name, value in values.items()]
        return (_FILES / f"{self.name}.conf").read_text() + "".join(lines)

    def _make_cluster(self, data_dir: Path) -> None:
        with tempfile.TemporaryDirectory(dir=data_dir.parent, prefix=f"{self.name}.") as folder:
            work = self.user.make_private_dir(Path(folder))
            password_file = work / "password"
            self.user.write_private(password_file, self._password)
            self.user.run(
                [
                    self.cache.postgres_programs / "initdb", "--pgdata", work / "cluster",
                    "--username", "admin", "--pwfile", password_file, "--auth", "scram-sha-256",
                    "--encoding", "UTF8", "--locale-provider", "builtin", "--locale", "C.UTF-8",
                ],
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                cwd=work,
            )  # fmt: skip
            (work / "cluster").rename(data_dir)
