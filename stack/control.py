"""Control of the native stack: start (until ready, idempotent), stop, status, logs, reset."""

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from batch.warehouse.migrate import require_same_keys
from connectors.mapping import require_mapping_fits
from connectors.masks import checked
from lakehouse.contracts.files import read_files
from lakehouse.contracts.mapping import mapping_path
from lakehouse.errors import Problem, StopPipelineError
from lakehouse.postgres import oltp_dsn, warehouse_dsn
from lakehouse.secrets import Secrets
from stack.bootstrap import steps
from stack.cache import locked
from stack.catalog import DEFAULT, services
from stack.elsewhere import Elsewhere, is_elsewhere
from stack.install import Installation, installing, parts_of
from stack.log import follow as follow_log
from stack.log import last_lines
from stack.memory import memory_mb
from stack.orphans import stop_orphans
from stack.paths import Cache, Data, StackConfig
from stack.preflight import (
    check_example,
    check_owner,
    check_paths,
    check_ports,
    check_protocols,
    check_store,
)
from stack.program import Service, with_needs
from stack.progress import Steps, silent
from stack.service_user import find_service_user
from stack.starter import Starter
from stack.supervision import ProgramState, Supervisor

_STOPPED = ProgramState(
    state="STOPPED", pid=None, uptime_seconds=None, exit_status=None, problem=""
)
_ELSEWHERE = "ELSEWHERE"
_OURS = ("example", "run", "log", "secrets.json", "secrets.part")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """State of a service.

    Attributes:
        state: of supervisor or of the container; of a server that others run, ELSEWHERE.
        is_ready: whether it answers; if others run it, also whether it lets us in.
        memory_mb: of its process and all child processes; shared pages are counted once.
        problem: why a server that others run is not ready.
    """

    service: str
    title: str
    state: str
    is_ready: bool
    pid: int | None
    uptime_seconds: int | None
    memory_mb: int | None
    ports: tuple[int, ...]
    url: str
    log: str
    problem: Problem | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Return whether others run it."""
        return self.state == _ELSEWHERE


class Stack:
    """The services of one data directory, by their names on the command line."""

    def __init__(self, config: StackConfig | None = None) -> None:
        self.config = config or StackConfig()
        self.data = Data(root=self.config.stack.data_dir)
        self.cache = Cache(root=self.config.stack.cache_dir)
        self._user = find_service_user(self.config.stack.service_user)
        self._supervisor = Supervisor(self.data, self._user)

    @property
    def place(self) -> str:
        """Location of the data, for messages."""
        return str(self.data.root)

    def up(self, names: Sequence[str] = (), *, progress: Steps | None = None) -> None:
        """Start these services and their dependencies, wait until ready, and set them up.

        If that fails, or is interrupted, what it has started is stopped again.

        Args:
            names: services; by default all.
            progress: called with each step.

        Raises:
            StopPipelineError: a service does not become ready; the message says why.
            WrongArgumentError: a contract file is wrong.
        """
        progress = progress or silent()
        found = with_needs(names or DEFAULT, self._services)
        elsewhere = [name for name in found if is_elsewhere(name, self.config)]
        wanted = [self._services[name] for name in found if name not in elsewhere]
        os.umask(0o022)  # servers that run as another user read what is written here
        check_paths(self.config.stack, self._user)
        check_example(self.config, self.data)
        check_store(self.config, self.data)
        names_wanted = {service.name for service in wanted}
        check_protocols(self.config, names_wanted)
        if "connect" in names_wanted:
            # As far as it is possible without the shop; the connector's set-up does the rest.
            checked(read_files(self.config.contracts.dir), {})
        parts = parts_of(names_wanted, store=self.config.store)
        # A build takes minutes: what does not need it starts meanwhile.
        with installing(self.cache, progress, parts) as installation, self._alone():
            self._secrets.complete()
            self._note_elsewhere(elsewhere, progress)
            if "connect" in names_wanted:
                self._check_mapping_elsewhere()
            kept = self._alive()
            if "warehouse" in found:  # or what needs it: also whatever reads keys
                self._check_keys(kept)
            if self.config.example is not None:
                self.data.example.write_text(f"{self.config.example}\n")
            try:
                kept -= self._supervise(wanted, progress)
                self._start_all(wanted, progress, installation)
            except BaseException:
                # The first failure is what has to be told.
                with suppress(Exception):
                    self._stop_all_but(kept)
                raise

    def _note_elsewhere(self, names: Sequence[str], progress: Steps) -> None:
        """Note the servers that others run, what they lack, and what of them is not captured.

        They are not set up: they may never have been meant for this.
        """
        servers = Elsewhere(self.config, self._secrets)
        with ThreadPoolExecutor(max(1, len(names))) as pool:
            for name, remarks in zip(names, pool.map(servers.remarks, names), strict=True):
                progress.note(f"{name} is at {self._services[name].url} and not started here")
                for remark in remarks:
                    progress.note(f"{name}: {remark}")

    def down(self) -> None:
        """Stop all services and wait until they have ended."""
        if not self.data.run.exists():
            stop_orphans(self.data)  # whoever deletes the data does not end its programs by that
            return
        with self._alone():
            self._stop_all_but(frozenset())
            stop_orphans(self.data)

    def reset(self) -> None:
        """Stop all services and delete data, secrets and logs. The cache is kept."""
        self.down()
        for name in (*self._services, *_OURS):
            path = self.data.of(name)
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if self.data.root.exists() and not any(self.data.root.iterdir()):
            self.data.root.rmdir()

    def status(self) -> list[ServiceStatus]:
        """Return the current state of every service."""
        states = self._supervisor.states()
        servers = Elsewhere(self.config, self._secrets)

        def ask(service: Service) -> ServiceStatus:
            state = states.get(service.name, _STOPPED)
            if is_elsewhere(service.name, self.config):
                problem = servers.problem(service.name)
                state = replace(_STOPPED, state=_ELSEWHERE)
                return _status(service, state, self.data, is_ready=problem is None, problem=problem)
            is_ready = state.is_alive and service.probe()
            return _status(service, state, self.data, is_ready=is_ready)

        with ThreadPoolExecutor(len(self._services)) as pool:
            return list(pool.map(ask, self._services.values()))

    def log_lines(self, service: str, *, lines: int, follow: bool) -> Iterator[str]:
        """Yield the last lines of a service's log; with `follow`, also new ones, without end.

        Raises:
            StopPipelineError: there is no such service.
        """
        log = self.log_of(service)
        yield from follow_log(log, lines) if follow else last_lines(log, lines)

    def log_of(self, name: str) -> Path:
        """Return the path of a service's log.

        Raises:
            StopPipelineError: there is no such service.
        """
        with_needs([name], self._services)
        return self.data.log_of(name)

    def start(self, name: str) -> None:
        """Start one service that was stopped, and wait until it is ready."""
        service = self._services[name]
        starter = Starter(self._supervisor, self.data, self.config.stack, silent())
        starter.start(service, (), ())

    def stop(self, name: str) -> None:
        """Stop one service; supervisor does not restart it."""
        self._supervisor.stop(name)

    def signal(self, name: str, signal: str) -> None:
        """Send a signal, such as `KILL`; supervisor restarts the service if it dies."""
        self._supervisor.signal(name, signal)

    def pid(self, name: str) -> int | None:
        """Return the process id of a service; None if it does not run."""
        return self._supervisor.states().get(name, _STOPPED).pid

    @cached_property
    def _services(self) -> dict[str, Service]:
        return services(self.config, self._secrets, self._user)

    @cached_property
    def _secrets(self) -> Secrets:
        return Secrets(self.config.stack.secrets_path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Lock this data directory, so that two commands do not start the same service twice."""
        check_owner(self.data.root)
        try:
            self.data.root.mkdir(parents=True, exist_ok=True)
            self.data.log.mkdir(exist_ok=True)
            self.data.run.mkdir(exist_ok=True)
            self.data.run.chmod(0o711)
            with locked(self.data.run / "lock"):
                yield
        except OSError as error:
            problem = f"{self.data.root} cannot hold the stack's data: {error}"
            action = (
                "Free space or give yourself write access, or set STACK_DATA_DIR to another "
                "directory."
            )
            raise StopPipelineError(problem, action) from error

    def _check_mapping_elsewhere(self) -> None:
        """Check the mapping against a shop that is not set up here, and thus not checked then."""
        if mapping_path().is_file() and is_elsewhere("oltp", self.config):
            require_mapping_fits(oltp_dsn(self.config.oltp, self._secrets, role="monitor"))

    def _check_keys(self, alive: Collection[str]) -> None:
        """Check that keys have the warehouse's types: programs that read them would be stopped."""
        warehouse = self.config.warehouse
        if "warehouse" in alive or is_elsewhere("warehouse", self.config):
            require_same_keys(warehouse_dsn(warehouse, self._secrets, role="batch"))

    def _alive(self) -> frozenset[str]:
        states = self._supervisor.states()
        return frozenset(name for name, state in states.items() if state.is_alive)

    def _stop_all_but(self, kept: Collection[str]) -> None:
        """Stop the other services, dependents first; without any left, supervisor, too."""
        if not self._supervisor.is_running():
            return
        for stage in _stages(self._services):
            with ThreadPoolExecutor(len(stage)) as pool:
                list(pool.map(self._supervisor.stop, [n for n in stage if n not in kept]))
        if not kept:
            self._supervisor.shutdown()

    def _supervise(self, wanted: Sequence[Service], progress: Steps) -> set[str]:
        """Start or update supervisor with the current configuration.

        Returns:
            Programs that it has stopped because they changed.
        """
        if not self._supervisor.is_running():
            orphans = stop_orphans(self.data)
            if orphans:
                progress.note(
                    f"ended orphaned processes of a former supervisor: {', '.join(orphans)}"
                )
        changed = self._supervisor.ensure(service.program for service in self._services.values())
        replaced = set()
        for service in reversed(wanted):
            if service.name in changed:
                self._supervisor.replace(service.name)
                replaced.add(service.name)
        states = self._supervisor.states()
        check_ports(service for service in wanted if not states[service.name].is_alive)
        return replaced

    def _start_all(
        self, wanted: Sequence[Service], progress: Steps, installation: Installation
    ) -> None:
        """Start each service as soon as it is installed and its dependencies are ready."""
        todo = steps(self.config, self._secrets)
        starter = Starter(
            self._supervisor,
            self.data,
            self.config.stack,
            progress,
            is_building=lambda: installation.is_running,
        )
        with ThreadPoolExecutor(max(1, len(wanted))) as pool:
            started: dict[str, Future[None]] = {}
            for service in wanted:
                parts = parts_of([service.name], store=self.config.store)
                needs = [
                    *(installation.parts[part] for part in parts if part in installation.parts),
                    *(started[name] for name in service.needs if name in started),
                ]
                after = [step for step in todo if step.service == service.name]
                started[service.name] = pool.submit(starter.start, service, needs, after)
            try:
                starter.wait(started)
            except BaseException as error:
                installation.give_up(error)  # what waits for it does not hold up the message
                raise


def _stages(found: Mapping[str, Service]) -> list[list[str]]:
    """Return names in the stages of a stop: no service before its dependents."""
    left = dict(found)
    stages = []
    while left:
        needed = {name for service in left.values() for name in service.needs}
        stage = [name for name in left if name not in needed]
        stages.append(stage)
        for name in stage:
            del left[name]
    return stages


def _status(
    service: Service,
    state: ProgramState,
    data: Data,
    *,
    is_ready: bool,
    problem: Problem | None = None,
) -> ServiceStatus:
    return ServiceStatus(
        service=service.name,
        title=service.title,
        state=state.state,
        is_ready=is_ready,
        pid=state.pid,
        uptime_seconds=state.uptime_seconds,
        memory_mb=None if state.pid is None else memory_mb(state.pid),
        ports=tuple(port.number for port in service.ports),
        url=service.url,
        log=str(data.log_of(service.name)),
        problem=problem,
    )
