"""A stack for tests: free ports, a data directory of its own, and nothing left when it ends."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from unittest import mock

from lakehouse.secrets import Secrets
from lakehouse.settings import ALL_SETTINGS
from stack.control import Stack
from stack.layout import StackConfig

PORTS = (
    "OLTP_PORT",
    "WAREHOUSE_PORT",
    "KAFKA_PORT",
    "KAFKA_CONTROLLER_PORT",
    "CONNECT_PORT",
    "MINIO_PORT",
    "MINIO_CONSOLE_PORT",
    "LANDING_METRICS_PORT",
)
KEPT = {"STACK_CACHE_DIR", "STACK_SERVICE_USER", "STACK_UV"}
"""Settings that tests take from their caller. No other may change what they do."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    with ExitStack() as sockets:
        found = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


def clean_environment() -> dict[str, str]:
    """The environment, without the settings that somebody has there."""
    names = {
        f"{group.model_config.get('env_prefix', '')}{name}".upper()
        for group in ALL_SETTINGS
        for name in group.model_fields
    }
    return {k: v for k, v in os.environ.items() if k not in names - KEPT}


@dataclass(frozen=True, kw_only=True)
class StackForTests:
    """The command line and the Python interface of one stack.

    `env` is its whole environment: give it to any program that is to use this stack.
    """

    data_dir: Path
    env: dict[str, str]

    @cached_property
    def config(self) -> StackConfig:
        with mock.patch.dict(os.environ, self.env, clear=True):
            return StackConfig()

    @cached_property
    def control(self) -> Stack:
        with mock.patch.dict(os.environ, self.env, clear=True):
            return Stack(self.config)

    @property
    def secrets(self) -> Secrets:
        return Secrets(self.config.stack.secrets_path)

    @property
    def oltp(self):
        return self.config.oltp

    @property
    def warehouse(self):
        return self.config.warehouse

    @property
    def kafka(self):
        return self.config.kafka

    @property
    def connect(self):
        return self.config.connect

    @property
    def minio(self):
        return self.config.minio

    def with_settings(self, **settings: object) -> "StackForTests":
        """The same stack, seen with other settings."""
        changed = {name: str(value) for name, value in settings.items()}
        return StackForTests(data_dir=self.data_dir, env=self.env | changed)

    def run(self, *arguments: object, check: bool = True, timeout: float = 300):
        """Run a command of `./pipeline` to its end; by default it has to succeed."""
        result = subprocess.run(
            self._command(arguments),
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or result.returncode == 0, (
            f"{' '.join(map(str, arguments))}: exit status {result.returncode}\n"
            f"{result.stdout[-4000:]}\n{result.stderr[-8000:]}"
        )
        return result

    def popen(self, *arguments: object, **options) -> subprocess.Popen:
        """Start a command of `./pipeline`; whoever starts it ends it."""
        return subprocess.Popen(self._command(arguments), env=self.env, text=True, **options)

    def up(self, *services: str):
        return self.run("up", *services)

    def pid(self, service: str) -> int | None:
        return self.control.pid(service)

    def kill(self, service: str, signal: str = "KILL") -> None:
        """Send a signal; supervisor starts again what dies of it."""
        self.control.signal(service, signal)

    def start(self, service: str) -> None:
        """Start a stopped service and wait until it is ready."""
        self.control.start(service)

    def stop(self, service: str) -> None:
        """Stop a service, as `down` would; supervisor leaves it down."""
        self.control.stop(service)

    @staticmethod
    def _command(arguments: tuple[object, ...]) -> list[str]:
        return [sys.executable, "-m", "lakehouse.cli", *map(str, arguments)]


@contextmanager
def new_stack(**settings: object):
    """A stack that has not been started. At the end it is stopped and its data deleted."""
    # Not pytest's tmp_path: that is closed to the user that runs the servers for root.
    data_dir = Path(tempfile.mkdtemp(prefix="shop-"))
    data_dir.chmod(0o755)
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    given = {name: str(value) for name, value in settings.items()}
    env = clean_environment() | ports | {"STACK_DATA_DIR": str(data_dir)} | given
    stack = StackForTests(data_dir=data_dir, env=env)
    try:
        yield stack
    finally:
        try:
            stack.run("down", timeout=120)
        finally:
            shutil.rmtree(data_dir)
