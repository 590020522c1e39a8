"""Isolated stacks for tests and benchmarks: free ports, own data, deleted at the end."""

import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from devtools import warm
from lakehouse.environment import environment, environment_of, process_environment
from lakehouse.errors import StopPipelineError
from lakehouse.secrets import Secrets
from lakehouse.settings import (
    ConnectSettings,
    KafkaSettings,
    MinioSettings,
    OltpSettings,
    WarehouseSettings,
    settings_in_environment,
)
from stack.catalog import SHOP
from stack.control import Stack
from stack.paths import StackConfig

_PORTS = {
    "OLTP_PORT": 1,
    "WAREHOUSE_PORT": 1,
    "KAFKA_PORT": 2,
    "CONNECT_PORT": 1,
    "MINIO_PORT": 1,
    "MINIO_CONSOLE_PORT": 7,
    "AIRFLOW_PORT": 1,
    "SUPERSET_PORT": 1,
    "MONITORING_PORT": 1,
    "MONITORING_BASE_PORT": 26,
}
"""How many ports in a row a setting gives."""
KEPT = {"STACK_CACHE_DIR", "STACK_SERVICE_USER"}
"""Settings that are inherited from the caller; all others are removed."""
# Below the range of ephemeral ports.
_FIRST_PORT = 12_000
_FIRST_OF_WORKERS = 24_000
_BLOCK = 1_000
_BLOCKS = 8
_UP_SECONDS = 1500  # one service may take STACK_START_TIMEOUT_SECONDS
_DOWN_SECONDS = 400  # services stop stage by stage, supervisor last


def free_ports(count: int) -> list[int]:
    """Return distinct ports on which no process listens.

    They are bound some time later. To avoid collisions until then, each pytest-xdist worker has a
    block of its own; other processes draw from a range so large that collisions are unlikely.
    """
    with ExitStack() as sockets:
        free = (p for p in _drawn() if _binds(sockets.enter_context(socket.socket()), p))
        return list(islice(free, count))


def free_block(count: int) -> range:
    """Return ports in a row on which no process listens.

    Raises:
        StopPipelineError: there are none.
    """
    blocks = (range(first, first + count) for first in _drawn(count - 1))
    for block in blocks:
        if all(map(_is_free, block)):
            return block
    problem = f"This machine has no {count} ports in a row that are free"
    raise StopPipelineError(problem, "Stop some programs.")


def _drawn(room: int = 0) -> list[int]:
    """Return ports in random order, none of which is among the last `room`."""
    worker = environment().get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    ports = range(_FIRST_PORT, _FIRST_OF_WORKERS)
    if worker:
        first = _FIRST_OF_WORKERS + _BLOCK * (int(worker) % _BLOCKS)
        ports = range(first, first + _BLOCK)
    # Not the global generator, which tests seed: all would draw the same ports.
    ports = ports[: len(ports) - room]
    return random.SystemRandom().sample(ports, min(len(ports), _BLOCK))


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        return _binds(one, port)


def _binds(one: socket.socket, port: int) -> bool:
    with suppress(OSError):
        one.bind(("127.0.0.1", port))
        return True
    return False


def finished(
    command: Sequence[object],
    words: str,
    *,
    check: bool,
    **options: Any,  # noqa: ANN401 - those of subprocess.run
) -> subprocess.CompletedProcess[str]:
    """Run a command and wait for it. `words` name it in messages.

    Raises:
        StopPipelineError: with `check`, it did not succeed.
    """
    result = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, **options
    )
    return require_success(result, words) if check else result


def require_success(
    result: subprocess.CompletedProcess[str], words: str
) -> subprocess.CompletedProcess[str]:
    """Return the result of a command, which `words` name for people.

    Raises:
        StopPipelineError: it did not succeed.
    """
    if result.returncode != 0:
        message = (
            f"{words}: exit status {result.returncode}\n"
            f"{result.stdout[-4000:]}\n{result.stderr[-8000:]}"
        )
        raise StopPipelineError(message)
    return result


@dataclass(frozen=True, kw_only=True)
class TestStack:
    """Command line and Python interface of one stack.

    `env` is its complete environment, for any program that uses this stack.
    """

    data_dir: Path
    env: Mapping[str, str]

    @cached_property
    def config(self) -> StackConfig:
        """All its settings."""
        with environment_of(self.env):
            return StackConfig()

    @cached_property
    def control(self) -> Stack:
        """Its Python interface."""
        with environment_of(self.env):
            return Stack(self.config)

    @property
    def secrets(self) -> Secrets:
        """Its passwords, once it was up."""
        return Secrets(self.config.stack.secrets_path)

    @property
    def oltp(self) -> OltpSettings:
        """The shop's Postgres."""
        return self.config.oltp

    @property
    def warehouse(self) -> WarehouseSettings:
        """The warehouse's Postgres."""
        return self.config.warehouse

    @property
    def kafka(self) -> KafkaSettings:
        """The broker."""
        return self.config.kafka

    @property
    def connect(self) -> ConnectSettings:
        """Kafka Connect."""
        return self.config.connect

    @property
    def minio(self) -> MinioSettings:
        """The object store."""
        return self.config.minio

    def with_settings(self, **settings: object) -> "TestStack":
        """Return the same stack with other settings."""
        changed = {name: str(value) for name, value in settings.items()}
        return TestStack(data_dir=self.data_dir, env={**self.env, **changed})

    def run(
        self, *arguments: object, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of `./pipeline` and wait for it.

        Raises:
            StopPipelineError: with `check`, it did not succeed.
        """
        words = list(map(str, arguments))
        result = warm.run(words, self.env, timeout=timeout)
        return require_success(result, f"./pipeline {' '.join(words)}") if check else result

    def popen(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401
        """Start a command of `./pipeline` as users do; the caller has to end it."""
        return subprocess.Popen(self._command(arguments), env=self.env, text=True, **options)

    def fork(
        self, *arguments: object, stdout: int | None = None, stderr: int | None = None
    ) -> warm.Process:
        """Start a command of `./pipeline` without an interpreter's start; the caller ends it."""
        return warm.Process(list(map(str, arguments)), self.env, stdout=stdout, stderr=stderr)

    def up(self, *services: str) -> subprocess.CompletedProcess[str]:
        """Start services with their dependencies; by default those from the shop to bronze."""
        return self.run("up", *(services or SHOP), timeout=_UP_SECONDS)

    def pid(self, service: str) -> int | None:
        """Return the process id of a service; None if it does not run."""
        return self.control.pid(service)

    def kill(self, service: str, signal: str = "KILL") -> None:
        """Send a signal to a service; supervisor restarts it if it dies."""
        self.control.signal(service, signal)

    def start(self, service: str) -> None:
        """Start a stopped service and wait until it is ready."""
        self.control.start(service)

    def stop(self, service: str) -> None:
        """Stop a service as `down` does; supervisor does not restart it."""
        self.control.stop(service)

    def end(self) -> None:
        """Stop everything and delete the data.

        Raises:
            StopPipelineError: not everything could be stopped; the data stays.
        """
        # Not from the process that forks: it may have ended before.
        words = "./pipeline down"
        finished(self._command(("down",)), words, check=True, env=self.env, timeout=_DOWN_SECONDS)
        shutil.rmtree(self.data_dir)

    @staticmethod
    def _command(arguments: tuple[object, ...]) -> list[str]:
        return [sys.executable, "-m", "cli", *map(str, arguments)]


@contextmanager
def new_stack(**settings: object) -> Iterator[TestStack]:
    """Yield a stack that is not started yet; at the end, stop it and delete its data."""
    stack = prepared(**settings)
    with _cleared_away_behind_us(stack):
        try:
            yield stack
        finally:
            stack.end()


def prepared(**settings: object) -> TestStack:
    """Return a stack with a new folder and free ports. The caller ends it."""
    # Not inside a directory of the caller, which the service user may not be allowed to enter.
    data_dir = Path(tempfile.mkdtemp(prefix="shop-"))
    data_dir.chmod(0o755)
    starts = accumulate(_PORTS.values(), initial=free_block(sum(_PORTS.values()))[0])
    ports = dict(zip(_PORTS, map(str, starts), strict=False))
    given = {name: str(value) for name, value in settings.items()}
    env = _clean_environment() | ports | {"STACK_DATA_DIR": str(data_dir)} | given
    return TestStack(data_dir=data_dir, env=env)


_CLEAR_AWAY = f"""
import shutil, subprocess, sys
sys.stdin.read()
subprocess.run([sys.executable, "-m", "cli", "down"], timeout={_DOWN_SECONDS})
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


@contextmanager
def _cleared_away_behind_us(stack: TestStack) -> Iterator[None]:
    """Start a process that stops the stack when this process ends, for whatever reason."""
    with subprocess.Popen(
        [sys.executable, "-c", _CLEAR_AWAY, stack.data_dir],
        env=stack.env,
        # Only this process holds the other end of the pipe, which closes when it ends.
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # In a session of its own: Ctrl-C must not end it.
        start_new_session=True,
    ) as waiting:
        try:
            yield
        finally:
            waiting.kill()


def _clean_environment() -> dict[str, str]:
    """Return the environment without the caller's settings.

    Bytecode is stored: a stack starts many processes, and each would compile all our modules.
    """
    dropped = {"PYTHONDONTWRITEBYTECODE", *settings_in_environment()} - KEPT
    return {k: v for k, v in process_environment().items() if k not in dropped}
