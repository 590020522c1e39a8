"""Supervisor: its configuration, and a client of its socket."""

import contextlib
import hashlib
import os
import re
import resource
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from lakehouse.errors import StopPipelineError
from lakehouse.settings import is_root, socket_path
from stack.paths import Data
from stack.program import Program
from stack.service_user import ServiceUser

PROGRAM_VARIABLE = "SHOP_PIPELINE_PROGRAM"
"""Variables in the environment of every supervised process: data directory and program name."""
SUPERVISOR = "supervisord"
_START_SECONDS = 15
_AT_ONCE = False
"""Answer before the program has started or ended."""
_POLL_SECONDS = 0.05
_STOP_SECONDS = 60
_LOG_SIZE = "20MB"
"""At which a log is rotated."""
_LOG_BACKUPS = 3
"""With the log itself, 80 MB per program at most, so that logs do not fill the data's disk."""
_COMMENT = re.compile(r"\s[;#]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramState:
    """State of a program in supervisor."""

    state: str
    pid: int | None
    uptime_seconds: int | None
    exit_status: int | None
    """Exit status of the last process, if it has ended."""
    problem: str
    """Reason why it could not be started, if so."""

    @property
    def is_alive(self) -> bool:
        """Whether the program has a process."""
        return self.pid is not None


class NotSupervisedError(StopPipelineError):
    """Supervisor is not running."""


class Supervisor:
    """The supervisor of one data directory."""

    def __init__(self, data: Data, user: ServiceUser) -> None:
        self._data = data
        self._user = user
        self._socket = socket_path(data.root)
        self._config_file = data.run / "supervisord.conf"
        self._pid_file = data.run / "supervisord.pid"

    def is_running(self) -> bool:
        """Return whether supervisor answers."""
        with contextlib.suppress(NotSupervisedError):
            self._call("getState")
            return True
        return False

    def ensure(self, programs: Iterable[Program]) -> set[str]:
        """Start supervisor, or update its configuration.

        Returns:
            Names of programs that still run with another configuration than in `programs`; see
            `replace`.
        """
        self._user_private(self.render(programs))
        if not self.is_running():
            self._start()
            return set()
        ((added, changed, _removed),) = self._call("reloadConfig")
        for name in added:
            self._call("addProcessGroup", name)
        return set(changed)

    def replace(self, name: str) -> None:
        """Stop a program and load its new configuration."""
        self.stop(name)
        self._call("removeProcessGroup", name)
        self._call("addProcessGroup", name)

    def states(self) -> dict[str, ProgramState]:
        """Return the state of each program; empty if supervisor does not run."""
        try:
            rows = self._call("getAllProcessInfo")
        except NotSupervisedError:
            return {}
        return {row["name"]: _state(row) for row in rows}

    def state(self, name: str) -> ProgramState:
        """Return the state of one program."""
        return _state(self._call("getProcessInfo", name))

    def start(self, name: str) -> None:
        """Start a program without waiting for it; no effect if it runs."""
        with _ignoring("ALREADY_STARTED", "ABNORMAL_TERMINATION", "SPAWN_ERROR"):
            self._call("startProcess", name, _AT_ONCE)

    def stop(self, name: str) -> None:
        """Stop a program and wait until it has ended; no effect if it does not run."""
        with _ignoring("NOT_RUNNING"):
            self._call("stopProcess", name, _AT_ONCE)
            # Supervisor (4.3) would poll without a pause if it were asked to wait for the end.
            while self.state(name).is_alive:
                time.sleep(_POLL_SECONDS)

    def signal(self, name: str, signal: str) -> None:
        """Send a signal, such as `KILL`, to a program's process."""
        self._call("signalProcess", name, signal)

    def shutdown(self) -> None:
        """Stop supervisor with all programs, and wait until it has ended."""
        pid = self.pid()
        with contextlib.suppress(NotSupervisedError):
            self._call("shutdown")
        deadline = time.monotonic() + _STOP_SECONDS
        while pid is not None and psutil.pid_exists(pid):
            if time.monotonic() > deadline:
                problem = f"Supervisor (pid {pid}) does not end"
                raise StopPipelineError(problem, f"See {self._data.log}, or kill it.")
            time.sleep(_POLL_SECONDS)
        self._socket.unlink(missing_ok=True)

    def pid(self) -> int | None:
        """Return supervisor's process id; None if it does not run."""
        with contextlib.suppress(NotSupervisedError):
            return int(self._call("getPID"))
        return None

    def render(self, programs: Iterable[Program]) -> str:
        """The configuration file's content."""
        sections: dict[str, dict[str, object]] = {
            "unix_http_server": {"file": self._socket, "chmod": "0700"},
            "rpcinterface:supervisor": {
                "supervisor.rpcinterface_factory": (
                    "supervisor.rpcinterface:make_main_rpcinterface"
                ),
            },
            "supervisord": {
                "identifier": "shop-pipeline",
                "logfile": self._data.log_of(SUPERVISOR),
                "logfile_maxbytes": _LOG_SIZE,
                "logfile_backups": _LOG_BACKUPS,
                "pidfile": self._pid_file,
                "umask": "022",
                "minfds": _descriptors(),
                **({"user": "root"} if is_root() else {}),
            },
        }
        for program in programs:
            sections[f"program:{program.name}"] = self._program(program) | {
                "stdout_logfile_maxbytes": _LOG_SIZE,
                "stdout_logfile_backups": _LOG_BACKUPS,
            }
        return _ini(sections)

    def _program(self, program: Program) -> dict[str, object]:
        digest = hashlib.sha256(program.configuration.encode()).hexdigest()[:12]
        environment = {
            **program.environment,
            PROGRAM_VARIABLE: f"{self._data.root}:{program.name}",
            "CONFIGURATION_DIGEST": digest,
        }
        user = {"user": self._user.name} if self._user.name and not program.is_ours else {}
        standing_back = ("nice", "-n", str(program.niceness)) if program.niceness else ()
        return {
            "command": shlex.join((*standing_back, *program.command)),
            "directory": program.directory,
            "environment": ",".join(f"{k}={_quoted(v)}" for k, v in sorted(environment.items())),
            "autostart": "false",
            **_restart(program),
            "startsecs": program.start_seconds,
            "startretries": 10,
            "stopsignal": program.stop_signal,
            "stopwaitsecs": program.stop_seconds,
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": self._data.log_of(program.name),
            **user,
        }

    def _user_private(self, text: str) -> None:
        # Supervisor runs as the calling user, who must own the file.
        ServiceUser().write_private(self._config_file, text)

    def _start(self) -> None:
        self._socket.unlink(missing_ok=True)
        result = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._config_file)],
            env={
                "PATH": os.defpath,
                "LANG": "C.UTF-8",
                "HOME": str(self._data.root),
                PROGRAM_VARIABLE: f"{self._data.root}:{SUPERVISOR}",
            },
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_running():
            if result.returncode != 0 or time.monotonic() > deadline:
                message = (
                    f"Supervisor does not start: {(result.stdout + result.stderr).strip()[-2000:]} "
                    f"See {self._data.log_of('supervisord')}."
                )
                raise StopPipelineError(message)
            time.sleep(_POLL_SECONDS)

    def _call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - XML-RPC is untyped
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)
        except (FileNotFoundError, ConnectionError) as error:
            problem = f"The services in {self._data.root} are not running"
            raise NotSupervisedError(problem, "Run ./pipeline up first.") from error
        except PermissionError as error:
            message = f"The services in {self._data.root} are another user's: {error.strerror}."
            raise StopPipelineError(message) from error
        finally:
            transport.close()


def _restart(program: Program) -> dict[str, object]:
    if program.final_exit_status is None:
        return {"autorestart": "true"}
    return {"autorestart": "unexpected", "exitcodes": program.final_exit_status}


def _state(row: dict[str, Any]) -> ProgramState:
    pid = int(row["pid"]) or None
    return ProgramState(
        state=row["statename"],
        pid=pid,
        uptime_seconds=row["now"] - row["start"] if pid else None,
        exit_status=row["exitstatus"] if row["stop"] and not pid else None,
        problem=row["spawnerr"],
    )


@contextlib.contextmanager
def _ignoring(*faults: str) -> Any:  # noqa: ANN401
    try:
        yield
    except xmlrpc.client.Fault as fault:
        if not any(name in fault.faultString for name in faults):
            raise


def _descriptors() -> int:
    """Return the limit of file descriptors for the servers, within the hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)


def _ini(sections: dict[str, dict[str, object]]) -> str:
    lines: list[str] = []
    for name, values in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key}={_value(str(value))}" for key, value in values.items()]
        lines.append("")
    return "\n".join(lines)


def _value(text: str) -> str:
    """Escape a value for supervisor's file, which cannot quote the start of a comment."""
    if not text.isprintable() or text != text.strip() or _COMMENT.search(text):
        problem = f"Supervisor cannot hold the value {text!r}"
        action = (
            "Choose one without control characters, spaces at its ends, and ; or # after a space."
        )
        raise StopPipelineError(problem, action)
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    if '"' in text or text != text.strip("'"):
        problem = f"Supervisor cannot hold the value {text!r}"
        action = "Choose one without double quotes, and without single quotes at its ends."
        raise StopPipelineError(problem, action)
    return f'"{text}"'
