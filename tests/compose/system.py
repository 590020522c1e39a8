"""The product as a user has it: a checkout, `./pipeline env init`, and the Compose file as it is.

Only `.env` and an override differ: names of images, free ports, and that builds use this machine's
network.
"""

import json
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devtools.test_stack import KEPT, finished, free_ports
from lakehouse.settings import ROOT, settings_in_environment
from tests.compose.engine import Engine
from tests.compose.images import BUILD_ARGUMENTS, OFFICIAL, tag_of

PORTS = (
    "OLTP_PORT", "WAREHOUSE_PORT", "KAFKA_PORT", "CONNECT_PORT", "MINIO_PORT",
    "MINIO_CONSOLE_PORT", "AIRFLOW_PORT", "SUPERSET_PORT", "MONITORING_PORT",
)  # fmt: skip
OURS = (
    "PIPELINE_IMAGE", "ORCHESTRATION_IMAGE", "DASHBOARDS_IMAGE", "MINIO_IMAGE", "BROKER_IMAGE",
    "WORKER_IMAGE",
)  # fmt: skip
"""Variables that name the images that the Compose file builds."""
_OFFICIAL_VARIABLES = {
    "POSTGRES_IMAGE": "postgres",
    "KAFKA_IMAGE": "apache/kafka",
    "CONNECT_IMAGE": "quay.io/debezium/connect",
    "PROMETHEUS_IMAGE": "prom/prometheus",
    "STATSD_EXPORTER_IMAGE": "prom/statsd-exporter",
}
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "var", ".env", "__pycache__", "*.pyc", ".*cache"
)
_LOG_LINES = 60


@dataclass(frozen=True, kw_only=True)
class System:
    """One Compose project. `env` is the environment of every command."""

    engine: Engine
    checkout: Path
    project: str
    ports: Mapping[str, int]
    env: Mapping[str, str]

    def compose(
        self, *arguments: object, check: bool = True, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker compose` in the checkout."""
        return self._docker.run(
            "compose", *arguments, check=check, timeout=timeout, cwd=self.checkout
        )

    def inside(
        self, *command: object, check: bool = True, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of `./pipeline` in a container of its own."""
        return self.compose(
            "run", "--rm", "--no-deps", "-T", "pipeline", *command, check=check, timeout=timeout
        )

    def pipeline(
        self, *command: object, check: bool = True, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run `./pipeline` on the host, in the checkout.

        Raises:
            StopPipelineError: with `check`, it did not succeed.
        """
        words = f"./pipeline {' '.join(map(str, command))}"
        return finished(
            [self.checkout / "pipeline", *command], words, check=check,
            env=self.env, cwd=self.checkout, timeout=timeout,
        )  # fmt: skip

    def popen(self, *command: object) -> "subprocess.Popen[str]":
        """Start a command of `./pipeline` in a container; it ends by itself, or is waited for."""
        words = ["docker", "compose", "run", "--rm", "--no-deps", "-T", "pipeline"]
        return subprocess.Popen(
            [*words, *map(str, command)], env=self.env, cwd=self.checkout, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def up(self) -> None:
        """All of the profiles in `.env`, until it is healthy. Nothing stands in for Grafana."""
        names = self.compose("config", "--services").stdout.split()
        wanted = [name for name in names if name != "grafana"]
        self.compose("up", "--detach", "--wait", *wanted, timeout=900)

    def execute(
        self, service: str, *command: object, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a service's container."""
        return self.compose("exec", "-T", service, *command, check=check, timeout=60)

    def inspect(self, service: str) -> Any:
        """What the engine knows of a service's container, running or not."""
        found = self.compose("ps", "--all", "--quiet", service).stdout.split()
        return json.loads(self._docker.answer("inspect", *found))[0]

    @property
    def services(self) -> dict[str, Any]:
        """The services that have a container."""
        lines = self.compose("ps", "--all", "--format", "json").stdout.splitlines()
        return {one["Service"]: one for one in map(json.loads, lines)}

    @property
    def passwords(self) -> dict[str, str]:
        """Those of `.env`, by variable."""
        lines = (self.checkout / ".env").read_text().splitlines()
        pairs = dict(line.split("=", 1) for line in lines if re.match(r"\w+_PASSWORD=", line))
        return {name: value.strip("\"'") for name, value in pairs.items()}

    def images(self) -> list[str]:
        """The images that the Compose file has built."""
        return sorted({f"{self.project}/{name.lower()}" for name in OURS})

    def logs(self) -> str:
        """The last lines of every container, and how each is."""
        state = self.compose("ps", "--all", check=False).stdout
        lines = self.compose("logs", "--no-color", "--tail", _LOG_LINES, check=False).stdout
        return f"{state}\n{lines}"

    @property
    def _docker(self) -> Engine:
        return replace(self.engine, environment=self.env)


@contextmanager
def new_system(engine: Engine) -> Iterator[System]:
    """A checkout with `.env`, not yet built. At the end nothing of the project is left."""
    project = f"shop-test-{uuid.uuid4().hex[:6]}"
    checkout = engine.folder / "shop"
    shutil.copytree(ROOT, checkout, ignore=_LEFT_OUT, symlinks=True)
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    system = System(
        engine=engine,
        checkout=checkout,
        project=project,
        ports=ports,
        env={**_without_settings(engine.environment), "STACK_ENGINE": "compose"},
    )
    system.pipeline("env", "init")
    _set(checkout / ".env", _variables(system))
    _write_override(system)
    try:
        yield system
    finally:
        system.compose(
            "--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5", check=False
        )


def _variables(system: System) -> dict[str, str]:
    stand_ins = {name: tag_of(OFFICIAL[image]) for name, image in _OFFICIAL_VARIABLES.items()}
    bases = {argument: tag_of(name) for argument, name in BUILD_ARGUMENTS.items()}
    ours = {name: f"{system.project}/{name.lower()}" for name in OURS}
    ports = {name: str(port) for name, port in system.ports.items()}
    own = {
        "COMPOSE_PROJECT_NAME": system.project,
        "COMPOSE_FILE": "docker-compose.yml:override.json",
        "COMPOSE_PROFILES": "core,orchestration,dashboards,monitoring",
    }
    return {**stand_ins, **bases, **ours, **ports, **own}


def _set(path: Path, variables: Mapping[str, str]) -> None:
    """Give variables a value: in their own line, where the file has one for them."""
    text = path.read_text()
    for name, value in variables.items():
        line = f"{name}={value}"
        text, count = re.subn(rf"^#? ?{name}=.*$", line, text, count=1, flags=re.MULTILINE)
        text += "" if count else f"{line}\n"
    path.write_text(text)


def _write_override(system: System) -> None:
    """Builds reach package registries as this machine does, and leave images that can be told."""
    override = system.checkout / "override.json"
    override.write_text('{"services": {}}')
    found = json.loads(system.compose("--profile", "*", "config", "--format", "json").stdout)
    built = [name for name, service in found["services"].items() if "build" in service]
    build = {"network": "host", "labels": [system.engine.label]}
    services = {name: {"build": build} for name in built}
    override.write_text(json.dumps({"services": services}, indent=2))


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Settings that somebody has in the environment would change what happens here."""
    dropped = set(settings_in_environment()) - KEPT
    return {name: value for name, value in environment.items() if name not in dropped}
