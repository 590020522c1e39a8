"""First-time installation of servers into the cache, in parallel, each one atomically.

If one fails, the others continue, so that the next try only repeats the failed one.
"""

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from lakehouse.errors import PipelineError, StopPipelineError
from lakehouse.settings import default_uv
from stack.cache import ensure
from stack.disk import require_space
from stack.environment import install_environment
from stack.go import Module, build
from stack.kafka.install import install_jars
from stack.minio.install import MINIO
from stack.paths import LOCKS, Cache
from stack.progress import Steps
from stack.prometheus.install import PROMETHEUS
from stack.spark.install import install_spark
from stack.tools import Tools, uv_install

_BUILD_MB = 3_500
"""Disk space for Go's toolchain, modules and build cache, which are temporary, and the rest."""
_INSTALL_MB = 800
_AIRFLOW_MB = 1_200
_SUPERSET_MB = 1_200
_SPARK_MB = 2_000
_SERVERS = "Postgres and Java"
_KAFKA = "Kafka, Connect and Debezium"


def install(  # noqa: PLR0913 - one for each part
    cache: Cache,
    steps: Steps,
    *,
    uv: Path | None = None,
    with_airflow: bool = False,
    with_superset: bool = False,
    with_monitoring: bool = False,
    with_spark: bool = False,
) -> None:
    """Install all servers into the cache; returns at once if they are installed.

    Args:
        cache: paths of the servers.
        steps: called with the progress.
        uv: the uv to install wheels with; by default the launcher's.
        with_airflow: whether to install Airflow.
        with_superset: whether to install Superset.
        with_monitoring: whether to install Prometheus.
        with_spark: whether to install Spark.

    Raises:
        StopPipelineError: something could not be fetched, verified, built or written.
    """
    wanted = [
        cache.servers,
        cache.kafka,
        cache.minio,
        *([cache.airflow] if with_airflow else []),
        *([cache.superset] if with_superset else []),
        *([cache.prometheus] if with_monitoring else []),
        *([cache.spark] if with_spark else []),
    ]
    missing = [folder for folder in wanted if not folder.exists()]
    if not missing:
        return
    needed_mb = _BUILD_MB if cache.minio in missing else _INSTALL_MB
    needed_mb += _BUILD_MB if cache.prometheus in missing else 0
    needed_mb += _AIRFLOW_MB if cache.airflow in missing else 0
    needed_mb += _SUPERSET_MB if cache.superset in missing else 0
    needed_mb += _SPARK_MB if cache.spark in missing else 0
    require_space(cache.root, needed_mb, variable="STACK_CACHE_DIR")
    tools = Tools()
    uv = _find_uv(uv)
    with ThreadPoolExecutor(4) as pool:
        servers = pool.submit(_install_servers, cache, steps, tools, uv)
        parts = {
            _SERVERS: servers,
            _KAFKA: pool.submit(_install_jars, servers, cache, steps, tools),
            MINIO.name: pool.submit(_build, MINIO, cache.minio, steps, tools, uv),
        }
        for name, folder, is_wanted in (
            ("Airflow", cache.airflow, with_airflow),
            ("Superset", cache.superset, with_superset),
        ):
            if is_wanted:
                parts[name] = pool.submit(_install_python, name, folder, steps, tools, uv)
        if with_spark:
            parts["Spark"] = pool.submit(_install_spark, cache, steps, tools, uv)
        if with_monitoring:
            name = PROMETHEUS.name
            parts[name] = pool.submit(_build, PROMETHEUS, cache.prometheus, steps, tools, uv)
        _wait_for_all(parts, tools.cancel)


def _install_servers(cache: Cache, steps: Steps, tools: Tools, uv: Path) -> None:
    def make(_work: Path, result: Path) -> None:
        uv_install(tools, uv, LOCKS / "servers.txt", result)

    _step(tools, steps, _SERVERS, cache.servers, make)


def _install_jars(servers: "Future[None]", cache: Cache, steps: Steps, tools: Tools) -> None:
    if servers.exception() is not None:
        return  # that is told; the program that fetches jars is among them

    def make(work: Path, result: Path) -> None:
        install_jars(
            tools,
            cache.servers,
            work,
            result,
            on_progress=lambda done, of: steps.advance(
                _KAFKA, f"{done}/{of} files", done=done, of=of
            ),
        )

    _step(tools, steps, _KAFKA, cache.kafka, make)


def _build(module: Module, folder: Path, steps: Steps, tools: Tools, uv: Path) -> None:
    name = module.name

    def make(work: Path, result: Path) -> None:
        build(module, tools, uv, work, result, on_progress=lambda text: steps.advance(name, text))

    _step(tools, steps, name, folder, make)


def _install_python(name: str, folder: Path, steps: Steps, tools: Tools, uv: Path) -> None:
    """Install a program from the lock of the same name.

    Airflow's environment has the project's dependencies; the project is imported from the checkout.
    """

    def make(_work: Path, result: Path) -> None:
        # Superset 6.1 pins packages (pandas 2.1, numpy 1.26) that have no wheels for a newer one.
        is_too_new = name == "Superset" and sys.version_info >= (3, 13)
        python = ">=3.11,<3.13" if is_too_new else sys.executable
        lock = LOCKS / f"{name.lower()}.txt"
        install_environment(tools, uv, lock, result, python=python)

    _step(tools, steps, name, folder, make)


def _install_spark(cache: Cache, steps: Steps, tools: Tools, uv: Path) -> None:
    def make(_work: Path, result: Path) -> None:
        install_spark(tools, uv, cache, result)

    _step(tools, steps, "Spark", cache.spark, make)


def _step(
    tools: Tools, steps: Steps, name: str, folder: Path, make: Callable[[Path, Path], None]
) -> None:
    if folder.exists():
        return
    steps.begin(name, "setting up")
    try:
        ensure(folder, make)
    except PipelineError as error:
        if not tools.is_cancelled:
            first_line, *_ = str(error).splitlines()
            steps.note(f"{name}: {first_line} (The other installations continue.)")
        raise
    steps.finish(name)


def _wait_for_all(parts: Mapping[str, "Future[None]"], cancel: Callable[[], None]) -> None:
    """Wait until each installation has ended; an interrupt cancels them.

    Raises:
        StopPipelineError: installations failed; the message names them and the reasons.
    """
    try:
        wait(parts.values())
    except BaseException:
        cancel()
        raise
    failed = {name: error for name, part in parts.items() if (error := part.exception())}
    for error in failed.values():
        if not isinstance(error, PipelineError):
            raise error
    if failed:
        message = "\n".join(f"{name}: {error}" for name, error in failed.items())
        raise StopPipelineError(message)


def _find_uv(uv: Path | None) -> Path:
    found = uv or default_uv()
    if found is None:
        message = (
            "No uv to install the servers with: run through ./pipeline, or put uv on the PATH."
        )
        raise StopPipelineError(message)
    return found
