"""SeaweedFS as one process: master, volumes, filer and S3. Its users are in a file it alone reads.

It reads the policies that MinIO is given, and grants as little. Its inner ports ask for no login,
as Kafka's do not: they listen on loopback, and the filer's HTTP, which serves every object, is off.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from lakehouse.settings import MinioSettings
from stack.minio.buckets import policies
from stack.net import http_status, is_listening
from stack.program import Program
from stack.shared import Shared

INNER_PORTS = 7
"""From MINIO_CONSOLE_PORT on: master, volumes and filer (HTTP and gRPC each), and S3's gRPC."""
# Objects of a bucket are in volumes of its own; by default a bucket begins with seven of them.
_MASTER = "[master.volume_growth]\ncopy_1 = 2\n"
_VOLUME_MB = 1024


@dataclass(frozen=True, kw_only=True)
class SeaweedServer(Shared):
    """One server with one folder of volumes."""

    @property
    def _settings(self) -> MinioSettings:
        return self.config.minio

    def program(self) -> Program:
        """Return its definition for supervisor."""
        home, settings = self.data.seaweedfs, self._settings
        inner = range(settings.console_port, settings.console_port + INNER_PORTS)
        master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3_grpc = inner
        options = {
            "dir": home / "volumes",
            "ip": settings.host,
            "ip.bind": settings.host,
            "master.port": master,
            "master.port.grpc": master_grpc,
            "master.volumeSizeLimitMB": _VOLUME_MB,
            "master.telemetry": "false",
            "volume.port": volume,
            "volume.port.grpc": volume_grpc,
            "volume.max": 0,  # as many as the disk has room for
            "volume.preStopSeconds": 1,
            "filer": "true",
            "filer.port": filer,
            "filer.port.grpc": filer_grpc,
            "filer.disableHttp": "true",
            "filer.localSocket": home / "filer.sock",
            "s3": "true",
            "s3.port": settings.port,
            "s3.port.grpc": s3_grpc,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.localSocket": home / "s3.sock",
            "s3.config": self._users_file,
            "s3.iam": "false",
            "s3.autoCreateBucket": "false",
        }
        return Program(
            name="minio",
            command=(
                str(self.cache.seaweedfs / "bin" / "weed"),
                "-logtostderr",
                "server",
                *(f"-{name}={value}" for name, value in options.items()),
            ),
            directory=home,  # where it looks for master.toml
            environment={"HOME": str(home)},
            configuration=json.dumps(policies(settings)),
        )

    def prepare(self) -> None:
        """Make its folders, and write the file with users and policies."""
        home = self.data.seaweedfs
        for folder in (home.parent, home, home / "volumes"):
            self.user.make_private_dir(folder)
        self.user.write_private(home / "master.toml", _MASTER)
        self.user.write_private(self._users_file, json.dumps(self._users()))

    def probe(self) -> bool:
        """Return whether S3 answers, and knows its filer."""
        # S3 answers before the filer does, without which every request fails.
        host, filer_grpc = self._settings.host, self._settings.console_port + 5
        return (
            is_listening(host, filer_grpc)
            and http_status(host, self._settings.port, "/healthz") == 200
        )

    @property
    def _users_file(self) -> Path:
        return self.data.run / "seaweedfs.json"

    def _users(self) -> dict[str, object]:
        allowed = policies(self._settings)
        grants: dict[str, dict[str, object]] = {
            "admin": {"actions": ["Admin"]},
            **{user: {"policyNames": [user]} for user in allowed},
        }
        return {
            "identities": [
                {
                    "name": user,
                    "credentials": [
                        {"accessKey": user, "secretKey": self.secrets[f"minio_{user}"]}
                    ],
                    **grant,
                }
                for user, grant in grants.items()
            ],
            "policies": [
                {"name": name, "content": json.dumps(content)} for name, content in allowed.items()
            ],
        }
