"""The stack run by Docker Compose (STACK_ENGINE=compose), controlled through its commands."""

import json
import shutil
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from lakehouse.environment import environment, process_environment
from lakehouse.errors import StopPipelineError
from lakehouse.secrets import ROLES, Secrets
from lakehouse.settings import ROOT
from stack.catalog import DEFAULT, SPARK, services
from stack.control import ServiceStatus
from stack.env_file import Made, make
from stack.paths import StackConfig
from stack.program import Service, with_needs
from stack.progress import Steps, silent
from stack.service_user import ServiceUser

_LAST_LINES = 15
_ALL = ("--profile", "*")
_SERVICE = "com.docker.compose.service"
_SET_UP = {"oltp": "lander", "connect": "lander", "minio": "lander", "warehouse": "live"}
"""Servers with a set-up service, and a service that depends on that."""


class ComposeStack:
    """The Compose project that `.env` names. Services have the same names as natively."""

    def __init__(self, config: StackConfig | None = None) -> None:
        self.config = config or StackConfig()

    @property
    def place(self) -> str:
        """Location of the data, for messages."""
        return "the volumes of Docker Compose"

    def up(self, names: Sequence[str] = (), *, progress: Steps | None = None) -> None:
        """Start these services and their dependencies, and wait until they are healthy.

        Args:
            names: services; by default those of the profiles in `.env`.
            progress: called with Compose's output.

        Raises:
            StopPipelineError: Compose failed; with its output.
        """
        progress = progress or silent()
        with_needs(names, self._services)
        done = make_env_file(self.config)
        if done.added:
            progress.note(f"{self.config.stack.env_file}: {len(done.added)} variables added")
        # Named services are started even if the profiles in .env do not include them.
        chosen = [] if set(names) in (set(), set(DEFAULT)) else list(names)
        progress.begin("docker compose up", "asking")
        for command in self._ups(chosen):
            for line in self._lines(command):
                progress.advance("docker compose up", line[-60:])
        progress.finish("docker compose up")

    def down(self) -> None:
        """Stop everything and remove the containers; the volumes stay."""
        self._do([*_ALL, "down"])

    def reset(self) -> None:
        """Stop everything and delete all volumes. `.env` is kept, since it may have been edited."""
        self._do([*_ALL, "down", "--volumes", "--remove-orphans"])

    def status(self) -> list[ServiceStatus]:
        """Return the current state of every service."""
        ids = _run([*self._compose, *_ALL, "ps", "--all", "--quiet"]).split()
        inspected = json.loads(_run(["docker", "inspect", *ids])) if ids else []
        return statuses(inspected, self._services.values(), now=datetime.now(tz=UTC))

    def log_lines(self, service: str, *, lines: int, follow: bool) -> Iterator[str]:
        """Yield the last lines of a service's log; with `follow`, also new ones, without end.

        Raises:
            StopPipelineError: there is no such service, or Docker fails.
        """
        with_needs([service], self._services)
        more = ["--follow"] if follow else []
        return self._lines([*_ALL, "logs", "--no-log-prefix", "--tail", str(lines), *more, service])

    def _ups(self, names: list[str]) -> Iterator[list[str]]:
        """Yield the Compose commands that start these services and their set-up.

        Set-up that no service depends on is run separately: `--wait` would treat its end as a
        failure.
        """
        seconds = str(round(self.config.stack.start_timeout_seconds))
        profiles = _ALL if names else ()
        up = ["--progress", "plain", "up", "--detach", "--wait", "--wait-timeout", seconds]
        charts = ["setup-dashboards"] if "superset" in names else []
        yield [*profiles, *up, *names, *charts]
        for server, waiting in _SET_UP.items():
            if server in names and waiting not in names:
                yield [*_ALL, "run", "--rm", "--no-TTY", f"setup-{server}"]

    @cached_property
    def _services(self) -> dict[str, Service]:
        found = services(self.config, Secrets(self.config.stack.secrets_path), ServiceUser())
        # docker-compose.yml has no Spark.
        return {name: service for name, service in found.items() if name not in SPARK}

    @cached_property
    def _compose(self) -> list[str]:
        """The Compose command, run in the checkout with its file, or those of COMPOSE_FILE."""
        file = self.config.stack.env_file
        if not file.exists():
            problem = f"There is no {file}"
            raise StopPipelineError(problem, "Create it: ./pipeline env init")
        if shutil.which("docker", path=environment().get("PATH")) is None:
            problem = "STACK_ENGINE is compose, but there is no docker command"
            action = (
                "Install Docker Engine with its Compose plugin, or unset STACK_ENGINE to run "
                "without Docker."
            )
            raise StopPipelineError(problem, action)
        return ["docker", "compose", "--project-directory", str(ROOT), "--env-file", str(file)]

    def _do(self, arguments: Sequence[str]) -> None:
        for _ in self._lines(arguments):
            pass

    def _lines(self, arguments: Sequence[str]) -> Iterator[str]:
        """Yield Compose's output, line by line.

        Raises:
            StopPipelineError: Compose failed.
        """
        last: deque[str] = deque(maxlen=_LAST_LINES)
        with subprocess.Popen(
            [*self._compose, *arguments],
            cwd=ROOT,
            env=process_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            try:
                for line in process.stdout or ():
                    last.append(line.rstrip())
                    yield line.rstrip()
            except BaseException:
                process.terminate()
                raise
        if process.returncode != 0:
            raise StopPipelineError(_failure(arguments, list(last)))


def make_env_file(config: StackConfig) -> Made:
    """Add to `.env` what Compose needs, with the passwords of this checkout's native stack."""
    native = Secrets(config.stack.data_dir / "secrets.json")
    passwords = {role: native[role] for role in ROLES if role in native}
    return make(config.stack.env_file, passwords=passwords, given=environment())


def statuses(
    inspected: Iterable[Mapping[str, Any]], known: Iterable[Service], *, now: datetime
) -> list[ServiceStatus]:
    """Return the state of each service from the output of `docker inspect`."""
    found = {one["Config"]["Labels"].get(_SERVICE): one["State"] for one in inspected}
    return [_status(service, found.get(service.name), now) for service in known]


def _status(service: Service, state: Mapping[str, Any] | None, now: datetime) -> ServiceStatus:
    is_running = state is not None and state["Running"]
    health = (state or {}).get("Health", {}).get("Status", "")
    return ServiceStatus(
        service=service.name,
        title=service.title,
        state=(state["Status"] if state else "stopped").upper(),
        is_ready=is_running and health in ("", "healthy"),
        pid=state["Pid"] if state and is_running else None,
        uptime_seconds=_seconds(state["StartedAt"], now) if state and is_running else None,
        memory_mb=None,
        ports=tuple(port.number for port in service.ports if port.is_published),
        url=service.url if any(port.is_published for port in service.ports) else "",
        log=f"./pipeline logs {service.name}",
    )


def _seconds(started_at: str, now: datetime) -> int:
    # Docker writes a varying number of digits of a second, in UTC.
    started = datetime.fromisoformat(started_at[:19] + "+00:00")
    return max(0, round((now - started).total_seconds()))


def _run(command: Sequence[str]) -> str:
    result = subprocess.run(
        command, cwd=ROOT, env=process_environment(), capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise StopPipelineError(_failure(command, result.stderr.splitlines()))
    return result.stdout


def _failure(arguments: Sequence[str], lines: Sequence[str]) -> str:
    told = "\n".join(f"  {line}" for line in lines[-_LAST_LINES:])
    return (
        f"docker compose {' '.join(arguments)} failed:\n{told}\n"
        "Is Docker running? See ./pipeline status and ./pipeline logs SERVICE."
    )
