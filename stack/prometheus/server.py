"""Prometheus and the StatsD exporter for Airflow, with the configuration in `monitoring/`."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from stack.kafka.java import AGENT_HOST
from stack.net import http_status
from stack.paths import MONITORING, StackConfig
from stack.program import Program
from stack.shared import Shared

_COPIED = ("rules/*.yml", "consoles/*.html")
_RETENTION_MB = 1024
"""A guard of the disk, however long metrics are kept."""
_OURS = ("exporter", "lander", "live")


@dataclass(frozen=True, kw_only=True)
class Prometheus(Shared):
    """One server, with targets and intervals from the settings."""

    def program(self) -> Program:
        """Return its definition for supervisor."""
        settings = self.config.monitoring
        return Program(
            name="prometheus",
            command=(
                str(self.cache.prometheus / "prometheus"),
                f"--config.file={self._home / 'prometheus.yml'}",
                f"--web.listen-address={settings.host}:{settings.port}",
                f"--web.console.templates={self._home / 'consoles'}",
                f"--storage.tsdb.path={self._home / 'data'}",
                f"--storage.tsdb.retention.time={settings.retention_days}d",
                f"--storage.tsdb.retention.size={_RETENTION_MB}MB",
                "--log.level=warn",
            ),
            directory=self._home,
            niceness=10,
            configuration="".join(self._files().values()),
        )

    def prepare(self) -> None:
        """Write its files, and delete rules that no longer exist."""
        for folder in ("", "data", "rules", "consoles", "targets"):
            self.user.make_private_dir(self._home / folder)
        for path in (self._home / "rules").iterdir():
            path.unlink()
        for name, text in self._files().items():
            self.user.write_private(self._home / name, text)

    def probe(self) -> bool:
        """Return whether its readiness endpoint reports success."""
        settings = self.config.monitoring
        return http_status(settings.host, settings.port, "/-/ready") == 200

    @property
    def _home(self) -> Path:
        return self.data.of("prometheus")

    def _files(self) -> dict[str, str]:
        found = {
            str(path.relative_to(MONITORING)): path.read_text()
            for pattern in _COPIED
            for path in sorted(MONITORING.glob(pattern))
        }
        return found | {
            "prometheus.yml": with_interval(
                (MONITORING / "prometheus.yml").read_text(), self.config.monitoring.scrape_seconds
            ),
            "targets/native.yml": yaml.safe_dump(targets(self.config)),
        }


@dataclass(frozen=True, kw_only=True)
class StatsdExporter(Shared):
    """Exporter of the metrics that Airflow sends by StatsD over UDP."""

    def program(self) -> Program:
        """Return its definition for supervisor."""
        settings = self.config.monitoring
        home = self.data.of("statsd-exporter")
        return Program(
            name="statsd-exporter",
            command=(
                str(self.cache.prometheus / "statsd_exporter"),
                f"--web.listen-address={settings.host}:{settings.metrics_port('statsd-exporter')}",
                f"--statsd.listen-udp={settings.host}:{settings.statsd_port}",
                "--statsd.listen-tcp=",
                f"--statsd.mapping-config={home / 'statsd.yml'}",
                "--log.level=warn",
            ),
            directory=home,
            configuration=self._mappings(),
        )

    def prepare(self) -> None:
        """Write its file."""
        home = self.user.make_private_dir(self.data.of("statsd-exporter"))
        self.user.write_private(home / "statsd.yml", self._mappings())

    def probe(self) -> bool:
        """Return whether it answers."""
        settings = self.config.monitoring
        port = settings.metrics_port("statsd-exporter")
        return http_status(settings.host, port, "/-/healthy") == 200

    @staticmethod
    def _mappings() -> str:
        return (MONITORING / "statsd.yml").read_text()


def with_interval(text: str, seconds: int) -> str:
    """Return Prometheus' configuration with these scrape and evaluation intervals."""
    found = yaml.safe_load(text)
    found["global"] |= {
        "scrape_interval": f"{seconds}s",
        "scrape_timeout": f"{min(seconds, 10)}s",
        "evaluation_interval": f"{seconds}s",
    }
    return yaml.safe_dump(found)


def targets(config: StackConfig) -> list[dict[str, object]]:
    """Return the content of the targets file."""
    own = config.monitoring
    is_minio = config.store == "minio"  # SeaweedFS' metrics have other names
    minio = {"__metrics_path__": "/minio/v2/metrics/cluster", "__scheme__": config.minio.scheme}
    known: tuple[tuple[str, str, int, dict[str, str]], ...] = (
        ("prometheus", own.host, own.port, {}),
        *((job, own.metrics_host, own.metrics_port(job), {}) for job in _OURS),
        *((job, AGENT_HOST, own.metrics_port(job), {}) for job in ("kafka", "connect")),
        *([("minio", config.minio.host, config.minio.port, minio)] if is_minio else []),
        ("airflow", own.host, own.metrics_port("statsd-exporter"), {}),
    )
    return [
        {"targets": [f"{host}:{port}"], "labels": {"job": job, **labels}}
        for job, host, port, labels in known
    ]
