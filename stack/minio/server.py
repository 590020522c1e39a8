"""The MinIO server; its root password is in a file that only it can read."""

from dataclasses import dataclass
from pathlib import Path

from lakehouse.settings import MinioSettings
from stack.net import http_status
from stack.program import Program
from stack.shared import Shared


@dataclass(frozen=True, kw_only=True)
class MinioServer(Shared):
    """One server with one folder of objects."""

    @property
    def _settings(self) -> MinioSettings:
        return self.config.minio

    def program(self) -> Program:
        """Return its definition for supervisor."""
        home = self.data.of("minio")
        return Program(
            name="minio",
            command=(
                str(self.cache.minio / "minio"),
                "server",
                *("--address", f"{self._settings.host}:{self._settings.port}"),
                *("--console-address", f"{self._settings.host}:{self._settings.console_port}"),
                *("--certs-dir", str(home / "certs")),
                str(home / "objects"),
            ),
            directory=home,
            environment={
                "HOME": str(home),
                "MINIO_CONFIG_ENV_FILE": str(self._environment_file),
                # No update checks.
                "MINIO_UPDATE": "off",
                # Metrics have names and sizes of buckets and counts of requests, which need no
                # protection on this machine. A token would need a key that can sign others, too.
                "MINIO_PROMETHEUS_AUTH_TYPE": "public",
            },
            configuration=self._settings.region,
        )

    def prepare(self) -> None:
        """Make its folders, and write the file with the password."""
        for folder in ("", "objects", "certs"):
            self.user.make_private_dir(self.data.of("minio") / folder)
        self.user.write_private(self._environment_file, self._environment())

    def probe(self) -> bool:
        """Return whether its readiness endpoint reports success."""
        status = http_status(self._settings.host, self._settings.port, "/minio/health/ready")
        return status == 200

    @property
    def _environment_file(self) -> Path:
        return self.data.run / "minio.env"

    def _environment(self) -> str:
        values = {
            "MINIO_ROOT_USER": "admin",
            "MINIO_ROOT_PASSWORD": self.secrets["minio_admin"],
            "MINIO_SITE_REGION": self._settings.region,
        }
        return "".join(f'{name}="{value}"\n' for name, value in values.items())
