"""Class archives: classes that Java has read and verified once, mapped into memory at each start.

They save a third of a start's processor time. Java archives what a program has loaded when that
program ends ("Application Class Data Sharing" in the manual of `java`), and does without an archive
that does not fit it.
"""

import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

from lakehouse.environment import process_environment
from stack.kafka.java import (
    LOG_SETTINGS,
    MAIN_CLASSES,
    archive_of,
    base_archive,
    configuration,
)
from stack.net import http_status, is_listening
from stack.tools import ToolError, Tools

_HOST = "127.0.0.1"
_CLUSTER = "c2hvcC1waXBlbGluZS1qcw"
_READY_SECONDS = 120
_END_SECONDS = 60
_POLL_SECONDS = 0.1

_Command = Sequence[str | Path]


def archive_classes(
    tools: Tools, java: Path, work: Path, result: Path, *, on_failure: Callable[[str], None]
) -> None:
    """Run a broker and Connect once, and keep the classes that they loaded.

    If they do not run, there is no archive, and each later start takes longer.

    Args:
        tools: runner of both.
        java: the Java program.
        work: directory for the data of both.
        result: folder with their `libs/` and `plugins/`; the archives are put beside these.
        on_failure: called with the reason.

    Raises:
        StopPipelineError: the set-up was cancelled.
    """
    work.mkdir(exist_ok=True)
    try:
        _archive_java(tools, java, work)
        _run_both(tools, java, work, result)
    except (OSError, ToolError) as error:
        tools.require_going_on()
        on_failure(f"Java's classes were not archived, so that it starts more slowly: {error}")


def _archive_java(tools: Tools, java: Path, work: Path) -> None:
    """Put Java's own classes, on which the others rest, where it looks for them by itself."""
    own = base_archive(java)
    if not own.exists():
        made = work / own.name
        option = f"-XX:SharedArchiveFile={made}"
        tools.run([java, "-Xshare:dump", "-XX:+UseG1GC", option], env=_environment())
        # Whole at once: other programs may start, and others may do the same.
        made.rename(own)


def _run_both(tools: Tools, java: Path, work: Path, result: Path) -> None:
    port, controller_port, connect_port = _free_ports(3)
    server = _configured("server", work, host=_HOST, port=port, controller_port=controller_port,
                         retention_hours=1, data_dir=work / "data")  # fmt: skip
    secrets = work / "secrets"
    secrets.touch()
    worker = _configured("connect", work, bootstrap_servers=f"{_HOST}:{port}", host=_HOST,
                         port=connect_port, plugins=result / "plugins",
                         secrets_file=secrets)  # fmt: skip
    common: list[str | Path] = [
        java, "-Xmx512m", f"-Dlog4j2.configurationFile={LOG_SETTINGS}",
        "-cp", result / "libs" / "*",
    ]  # fmt: skip

    def command(program: str, configuration: Path) -> _Command:
        option = f"-XX:ArchiveClassesAtExit={work / archive_of(result, program).name}"
        return [*common, option, MAIN_CLASSES[program], configuration]

    tools.run(
        [*common, MAIN_CLASSES["format"], "format", f"--cluster-id={_CLUSTER}", "--config", server],
        env=_environment(),
    )
    with (
        _running(tools, command("kafka", server), lambda: is_listening(_HOST, port)),
        _running(
            tools,
            command("connect", worker),
            lambda: http_status(_HOST, connect_port, "/health") == 200,
        ),
    ):
        pass
    for program in ("kafka", "connect"):
        archive = archive_of(result, program)
        (work / archive.name).rename(archive)


def _configured(name: str, work: Path, **values: object) -> Path:
    """Write a configuration as the stack's own, with other values."""
    file = work / f"{name}.properties"
    file.write_text(configuration(name, **values))
    return file


def _free_ports(count: int) -> list[int]:
    with ExitStack() as sockets:
        held = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind((_HOST, 0))
        return [one.getsockname()[1] for one in held]


@contextmanager
def _running(tools: Tools, command: _Command, is_ready: Callable[[], bool]) -> Iterator[None]:
    """Run a server during the block, once it is ready; end it, with which it writes its archive.

    Raises:
        TimeoutError: it does not get ready, or does not end, in time.
        StopPipelineError: the set-up was cancelled.
    """
    name = command[-2]
    with tools.running(command, env=_environment(), stdout=subprocess.DEVNULL) as process:

        def has_ended() -> bool:
            return process.poll() is not None

        try:
            _wait(tools, lambda: is_ready() or has_ended(), _READY_SECONDS)
            if has_ended():
                message = f"{name} ended with {process.returncode}"
                raise ChildProcessError(message)
            yield
            process.terminate()
            _wait(tools, has_ended, _END_SECONDS)
        finally:
            process.kill()


def _wait(tools: Tools, is_over: Callable[[], bool], seconds: float) -> None:
    until = monotonic() + seconds
    while not is_over():
        tools.require_going_on()
        if monotonic() > until:
            message = f"more than {seconds} s"
            raise TimeoutError(message)
        sleep(_POLL_SECONDS)


def _environment() -> dict[str, str]:
    return process_environment() | {"LANG": "C.UTF-8"}
