"""First-time installation of servers into the cache, in parallel, each one atomically.

If one fails, the others continue, so that the next try only repeats the failed one.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.errors import PipelineError, StopPipelineError
from lakehouse.settings import default_uv
from stack.cache import ensure
from stack.disk import require_space
from stack.environment import install_environment
from stack.go import Module, build
from stack.kafka.archives import archive_classes
from stack.kafka.install import install_jars
from stack.minio.install import MINIO
from stack.paths import LOCKS, Cache
from stack.progress import Steps
from stack.prometheus.install import PROMETHEUS
from stack.spark.install import install_spark
from stack.spark.server import WORKERS
from stack.tools import Tools, uv_install

_NEEDED_MB = {
    "servers": 400,
    "kafka": 300,
    "minio": 3_500,  # with Go's toolchain, modules and build cache, which are temporary
    "seaweedfs": 200,
    "airflow": 1_200,
    "superset": 1_200,
    "prometheus": 3_500,
    "spark": 2_000,
    "kubernetes": 300,
}
"""Disk space for each part."""
_TITLES = {
    "servers": "Postgres and Java",
    "kafka": "Kafka, Connect and Debezium",
    "minio": MINIO.name,
    "seaweedfs": "SeaweedFS",
    "airflow": "Airflow",
    "superset": "Superset",
    "prometheus": PROMETHEUS.name,
    "spark": "Spark",
    "kubernetes": "kubectl",
}


def parts_of(services: Iterable[str], *, store: str) -> list[str]:
    """Return the parts that these services run on, by their names in `Cache`.

    Args:
        services: names in the catalog.
        store: the program of the service `minio`.
    """
    parts = {
        "oltp": ("servers",),
        "warehouse": ("servers",),
        "kafka": ("servers", "kafka"),
        "connect": ("servers", "kafka"),
        "minio": (store,),
        "airflow": ("airflow",),
        "superset": ("superset",),
        "statsd-exporter": ("prometheus",),
        "prometheus": ("prometheus",),
        **dict.fromkeys(("spark-master", *WORKERS), ("servers", "spark")),
    }
    return list(dict.fromkeys(part for name in services for part in parts.get(name, ())))


@dataclass(frozen=True, kw_only=True)
class Installation:
    """Parts that are being installed: for each by name what ends with it."""

    parts: Mapping[str, "Future[None]"] = field(default_factory=dict)
    tools: Tools = field(default_factory=Tools)

    @property
    def is_running(self) -> bool:
        """Whether a part is still being installed."""
        return not all(one.done() for one in self.parts.values())

    def give_up(self, error: BaseException) -> bool:
        """Cancel what is being installed, unless the error is that a part failed.

        Then the others continue, so that the next try only repeats the failed one.

        Returns:
            Whether it was cancelled, now or before.
        """
        # Parts that were cancelled have failed, too, but are not what has to be told.
        if self.tools.is_cancelled:
            return True
        has_failed = any(one.done() and one.exception() for one in self.parts.values())
        if isinstance(error, Exception) and has_failed:
            return False
        self.tools.cancel()
        return True


def install(cache: Cache, steps: Steps, parts: Iterable[str], *, uv: Path | None = None) -> None:
    """Install parts as `installing` does, and wait for them."""
    with installing(cache, steps, parts, uv=uv):
        pass


@contextmanager
def installing(
    cache: Cache, steps: Steps, parts: Iterable[str], *, uv: Path | None = None
) -> Iterator[Installation]:
    """Install parts into the cache during the block, and wait for them at its end.

    Args:
        cache: paths of the servers.
        steps: called with the progress.
        parts: names of folders of the cache.
        uv: the uv to install wheels with; by default the launcher's.

    Raises:
        StopPipelineError: something could not be fetched, verified, built or written.
    """
    missing = [part for part in parts if not getattr(cache, part).exists()]
    if not missing:
        yield Installation()
        return
    needed_mb = sum(_NEEDED_MB[part] for part in missing)
    require_space(cache.root, needed_mb, variable="STACK_CACHE_DIR")
    work = _Work(cache=cache, steps=steps, tools=Tools(), uv=_find_uv(uv))
    with ThreadPoolExecutor(len(missing)) as pool:
        begun: dict[str, Future[None]] = {}
        for part in missing:
            # What fetches jars is among the servers.
            after = begun.get("servers") if part == "kafka" else None
            begun[part] = pool.submit(work.do, part, after)
        installation = Installation(parts=begun, tools=work.tools)
        try:
            yield installation
        except BaseException as error:
            if installation.give_up(error):
                raise
        _wait_for_all({_TITLES[part]: future for part, future in begun.items()}, work.tools.cancel)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What installs one part after the other, and what it needs for that."""

    cache: Cache
    steps: Steps
    tools: Tools
    uv: Path

    def do(self, part: str, after: "Future[None] | None") -> None:
        if after is not None and after.exception() is not None:
            return  # that is told
        makers: dict[str, Callable[[Path, Path], None]] = {
            "servers": self._wheels("servers"),
            "kafka": self._jars,
            "minio": self._build(MINIO),
            "seaweedfs": self._wheels("seaweedfs"),
            "kubernetes": self._wheels("kubernetes"),
            "airflow": self._environment("airflow", sys.executable),
            # Superset 6.1 pins packages (pandas 2.1, numpy 1.26) without wheels for a newer one.
            "superset": self._environment(
                "superset", ">=3.11,<3.13" if sys.version_info >= (3, 13) else sys.executable
            ),
            "prometheus": self._build(PROMETHEUS),
            "spark": lambda _, result: install_spark(self.tools, self.uv, self.cache, result),
        }
        _step(self.tools, self.steps, _TITLES[part], getattr(self.cache, part), makers[part])

    def _wheels(self, lock: str) -> Callable[[Path, Path], None]:
        return lambda _, result: uv_install(self.tools, self.uv, LOCKS / f"{lock}.txt", result)

    def _jars(self, work: Path, result: Path) -> None:
        def tell(done: int, of: int) -> None:
            self.steps.advance(_TITLES["kafka"], f"{done}/{of} files", done=done, of=of)

        install_jars(self.tools, self.cache.servers, work, result, on_progress=tell)
        self.steps.advance(_TITLES["kafka"], "archiving Java's classes")
        archive_classes(
            self.tools, self.cache.java, work / "archives", result, on_failure=self.steps.note
        )

    def _build(self, module: Module) -> Callable[[Path, Path], None]:
        def tell(text: str) -> None:
            self.steps.advance(module.name, text)

        return lambda work, result: build(
            module, self.tools, self.uv, work, result, on_progress=tell
        )

    def _environment(self, name: str, python: str) -> Callable[[Path, Path], None]:
        """Return what installs a program from the lock of the same name.

        Airflow's environment has the project's dependencies; the project is imported from the
        checkout.
        """
        lock = LOCKS / f"{name}.txt"
        return lambda _, result: install_environment(
            self.tools, self.uv, lock, result, python=python
        )


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
