"""Commands without an interpreter's start: a process that has imported everything, and forks.

A command of `./pipeline` imports for one to two seconds of CPU before it begins; tests run hundreds
of them. Each command is still a process of its own, with its own environment and streams. The
libraries imported have no threads yet that work: their pools begin with the first query.
"""

import array
import gc
import importlib
import json
import os
import random
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import TextIO

_IMPORTED = (
    "batch.extraction.run",
    "batch.pipeline_run",
    "batch.reconcile.run",
    "cli.__main__",
    "confluent_kafka.admin",
    "connectors.registration",
    "consumers.bronze.service",
    "consumers.live.service",
    "minio",
    "producers.simulator",
    "replay.run",
    "stack.control",
    "stack.doctor",
)
_LENGTH = 8
_FDS = 2


class Process:
    """A command of `./pipeline` that runs. The part of `subprocess.Popen` that tests use.

    Args:
        arguments: the command's.
        env: its complete environment.
        stdout, stderr: `subprocess.PIPE`, `subprocess.DEVNULL`, or None for this process' own.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        *,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        self.stdout = self.stderr = None
        self._connection = socket.socket(socket.AF_UNIX)
        self.args = list(arguments)
        self.returncode: int | None = None
        request = json.dumps([self.args, dict(env), str(Path.cwd())]).encode()
        with ExitStack() as ours:
            self.stdout, out = _stream(stdout, 1, ours)
            self.stderr, err = _stream(stderr, 2, ours)
            self._connection.connect(_address())
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [out, err]))
            self._connection.sendmsg([len(request).to_bytes(_LENGTH)], [rights])
        self._connection.sendall(request)
        self.pid = int.from_bytes(_exactly(self._connection, _LENGTH))

    def poll(self) -> int | None:
        """Return its exit status; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return its exit status, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: it was not over by then; it runs on.
        """
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            with self._connection:
                status = _exactly(self._connection, _LENGTH)
            self.returncode = int.from_bytes(status, signed=True)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; return what it wrote to its pipes, "" for one that is none.

        Raises:
            subprocess.TimeoutExpired: it was not over by then; it has been killed.
        """
        with ThreadPoolExecutor(2) as pool:
            texts = [pool.submit(_rest, stream) for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except BaseException:
                self.kill()
                raise
        out, err = (text.result() for text in texts)
        return out, err

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def __del__(self) -> None:
        """Close unread pipes: a test may kill a command without waiting for it."""
        for end in (self.stdout, self.stderr, self._connection):
            if end is not None:
                end.close()


def _rest(stream: TextIO | None) -> str:
    """Read a pipe to its end, and close it; "" if there is none, or it was read before."""
    if stream is None or stream.closed:
        return ""
    with stream:
        return stream.read()


def _stream(given: int | None, own: int, ours: ExitStack) -> tuple[TextIO | None, int]:
    """Return our end of a pipe, if there is one, and the descriptor that the command gets."""
    if given == subprocess.PIPE:
        reading, writing = os.pipe()
        ours.callback(os.close, writing)
        return os.fdopen(reading, encoding="utf-8"), writing
    if given == subprocess.DEVNULL:
        null = os.open(os.devnull, os.O_WRONLY)
        ours.callback(os.close, null)
        return None, null
    return None, own


def run(
    arguments: Sequence[str], env: Mapping[str, str], *, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a command of `./pipeline` to its end, as `subprocess.run` would with captured output.

    Raises:
        subprocess.TimeoutExpired: it was not over by then; it has been killed.
    """
    process = Process(arguments, env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    texts = process.communicate(timeout)
    return subprocess.CompletedProcess(process.args, process.wait(), *texts)


_starting = threading.Lock()


def _address() -> str:
    with _starting:
        return _started()


@cache
def _started() -> str:
    """Start the process that forks; it ends when this one does. Returns its socket's path."""
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    address = f"{folder.name}/socket"
    # Held by both ends of this pipe: it closes with us, however we end.
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    _kept.extend((folder, process))
    if process.stdout is not None:
        process.stdout.readline()
    return address


_kept: list[object] = []


def _exactly(connection: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        more = connection.recv(length - len(found))
        if not more:
            message = "The process that runs commands has ended."
            raise ConnectionError(message)
        found += more
    return found


class _Server:
    """Forks a process for each request, and tells whoever asked how it ended."""

    def __init__(self, address: str) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(address)
        self._listening.listen(64)
        self._running: dict[int, socket.socket] = {}

    def serve(self) -> Sequence[str] | None:
        """Return the arguments of a command in its own process; None once its caller has ended."""
        wake, woken = os.pipe()
        for end in (wake, woken):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken)
        with selectors.DefaultSelector() as selector:
            for source in (self._listening, sys.stdin, wake):
                selector.register(source, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if wake in ready:
                    os.read(wake, 4096)
                    self._reap()
                if self._listening in ready and (arguments := self._fork()) is not None:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    return arguments
                if sys.stdin in ready:
                    return None

    def _fork(self) -> Sequence[str] | None:
        connection, _ = self._listening.accept()
        head, rights, *_ = connection.recvmsg(_LENGTH, socket.CMSG_SPACE(_FDS * 4))
        out, err = array.array("i", rights[0][2])
        request = json.loads(_exactly(connection, int.from_bytes(head)))
        if pid := os.fork():
            os.close(out)
            os.close(err)
            self._running[pid] = connection
            connection.sendall(pid.to_bytes(_LENGTH))
            return None
        self._listening.close()
        connection.close()
        for other in self._running.values():
            other.close()
        return self._become(request, out, err)

    @staticmethod
    def _become(request: tuple[list[str], dict[str, str], str], out: int, err: int) -> list[str]:
        arguments, environment, folder = request
        null = os.open(os.devnull, os.O_RDONLY)
        for given, target in ((null, 0), (out, 1), (err, 2)):
            os.dup2(given, target)
            os.close(given)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()  # noqa: TID251 - a process of its own, in which no thread runs yet
        os.environ.update(environment)  # noqa: TID251
        os.chdir(folder)
        random.seed()
        return arguments

    def _reap(self) -> None:
        for pid in list(self._running):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                with self._running.pop(pid) as connection:
                    code = os.waitstatus_to_exitcode(status)
                    with suppress(BrokenPipeError):  # its caller has ended
                        connection.sendall(code.to_bytes(_LENGTH, signed=True))


def _main(address: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _IMPORTED:
        importlib.import_module(name)
    working = {(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}
    if pools := sorted(name for name in working if name.startswith(("polars-0", "tokio"))):
        message = f"Something imported has started {pools}; a fork would wait for them for ever."
        raise RuntimeError(message)
    # What was imported stays as it is: no page of it is to be copied for a reference count.
    gc.freeze()
    server = _Server(address)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    arguments = server.serve()
    if arguments is not None:
        sys.argv = ["./pipeline", *arguments]
        sys.modules["cli.__main__"].main()


if __name__ == "__main__":
    _main(sys.argv[1])
