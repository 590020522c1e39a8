"""Checks of this machine: versions, installed packages, disk, memory, passwords."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from lakehouse.errors import PipelineError
from lakehouse.secrets import ROLES
from stack.catalog import SERVERS
from stack.disk import existing_parent
from stack.doctor.measurements import Measurements
from stack.doctor.model import Check
from stack.elsewhere import is_elsewhere
from stack.findings import Said, fine, note, wrong, wrong_as_told
from stack.install import parts_of
from stack.kafka.install import place_of
from stack.paths import JAR_LOCK, LOCKS, Cache, StackConfig
from stack.preflight import check_paths
from stack.service_user import find_service_user

_PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
_LOCKED = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)([^\\]*)")
_REBUILD = "rm -r .venv, then any ./pipeline command creates it again"
_LEAST_MEMORY_MB = 600
_STARTING_MEMORY_MB = 4_000
"""Measured memory of all services; without Airflow and Superset 1.3 GB less."""
_OWNER_ONLY = 0o077


def diagnose_python(found: tuple[int, int, int]) -> Sequence[Said]:
    """Diagnose whether the locks support this version of Python."""
    text = ".".join(map(str, found))
    if found[:2] in _PYTHONS:
        return [fine(text)]
    names = " or ".join(".".join(map(str, one)) for one in _PYTHONS)
    return [wrong(f"{text}, and {names} is needed", f"PIPELINE_PYTHON=python3.12; {_REBUILD}")]


def diagnose_packages(
    wanted: Mapping[str, Mapping[str, str]], found: Callable[[str], str | None]
) -> Sequence[Said]:
    """Diagnose whether installed packages match the lock.

    Args:
        wanted: versions by package, each with its environment marker; "" without one.
        found: returns the installed version; None if there is none.
    """
    other = []
    for name, versions in wanted.items():
        has = found(name)
        is_optional = all(versions.values())
        if has not in versions and not (has is None and is_optional):
            other.append(f"{name} {' or '.join(versions)} is locked, {has or 'nothing'} is there")
    if not other:
        return [fine(f"{len(wanted)} as locked")]
    more = f", and {len(other) - 3} more" if len(other) > 3 else ""
    return [wrong("; ".join(other[:3]) + more, _REBUILD)]


def locked(lock: Path = LOCKS / "project.txt") -> dict[str, dict[str, str]]:
    """Return versions by package, each with its environment marker."""
    found: dict[str, dict[str, str]] = {}
    for line in lock.read_text().splitlines():
        if match := _LOCKED.match(line):
            found.setdefault(match[1], {})[match[2]] = match[3].strip(" ;")
    return found


def installed(package: str) -> str | None:
    """Return the installed version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _servers(measurements: Measurements) -> Sequence[Said]:
    config = measurements.config
    cache = Cache(root=config.stack.cache_dir)
    optional = {
        cache.airflow: [cache.airflow / "bin" / "python"],
        cache.superset: [cache.superset / "bin" / "python"],
        cache.prometheus: [cache.prometheus / name for name in ("prometheus", "statsd_exporter")],
    }
    return diagnose_servers(required_programs(config, cache), optional)


def required_programs(config: StackConfig, cache: Cache) -> Mapping[Path, Iterable[Path]]:
    """Return files of the servers that are started here, by folder of the cache."""
    programs = {
        "servers": (cache.servers, [cache.java, cache.postgres_programs / "postgres"]),
        "kafka": (
            cache.kafka,
            [cache.kafka / "plugins", *(cache.kafka / place_of(jar) for jar in _jars())],
        ),
        "minio": (cache.minio, [cache.minio / "minio"]),
        "seaweedfs": (cache.seaweedfs, [cache.seaweedfs / "bin" / "weed"]),
    }
    here = [name for name in SERVERS if not is_elsewhere(name, config)]
    return dict(programs[part] for part in parts_of(here, store=config.store))


def _jars() -> list[str]:
    """Return the names of locked files; the plugin is an archive, which is unpacked."""
    lines = JAR_LOCK.read_text().splitlines()
    named = [line.split()[0].split(":") for line in lines if line and not line.startswith("#")]
    return [f"{artifact}-{number}.jar" for _, artifact, number, *more in named if not more]


def diagnose_servers(
    required: Mapping[Path, Iterable[Path]], optional: Mapping[Path, Iterable[Path]]
) -> Sequence[Said]:
    """Diagnose whether the cache has all servers, completely.

    Args:
        required: files that must exist, by folder.
        optional: the same for servers that need not be installed.
    """
    said = []
    for folder, parts in {**required, **optional}.items():
        missing = [part for part in parts if not part.exists()]
        if folder.exists() and missing:
            said.append(
                wrong(f"{folder} lacks {missing[0].name}", f"rm -r {folder}; ./pipeline up")
            )
    absent = [folder.name for folder in required if not folder.exists()]
    if absent:
        said.append(wrong(f"not set up yet: {', '.join(absent)}", "./pipeline up"))
    left_out = [folder.name.split("-")[0] for folder in optional if not folder.exists()]
    words = ", ".join(["in the cache, as locked", *(f"no {name} yet" for name in left_out)])
    return said or [fine(words)]


def _disk(measurements: Measurements) -> Sequence[Said]:
    stack = measurements.config.stack
    try:
        check_paths(stack, find_service_user(stack.service_user))
    except PipelineError as error:
        return [wrong_as_told(error.told)]
    free = psutil.disk_usage(str(existing_parent(stack.data_dir))).free
    return [fine(f"{free / 1e9:,.1f} GB free for {stack.data_dir}")]


def _memory(measurements: Measurements) -> Sequence[Said]:
    available = psutil.virtual_memory().available // 2**20
    is_running = any(status.is_ready for status in measurements.services.values())
    return diagnose_memory(available, is_running=is_running)


def diagnose_memory(available_mb: int, *, is_running: bool) -> Sequence[Said]:
    """Diagnose whether there is enough memory to keep running, or to start."""
    words = f"{available_mb:,} MB available"
    if is_running and available_mb < _LEAST_MEMORY_MB:
        remedy = "End other programs; or ./pipeline down, ./pipeline up --no-airflow --no-superset"
        return [wrong(f"{words}: the system may soon kill programs", remedy)]
    if not is_running and available_mb < _STARTING_MEMORY_MB:
        remedy = "./pipeline up --no-airflow --no-superset"
        return [note(f"{words}, all services need {_STARTING_MEMORY_MB:,} MB", remedy)]
    return [fine(words)]


def _passwords(measurements: Measurements) -> Sequence[Said]:
    path = measurements.config.stack.secrets_path
    if not path.exists():
        return [note("none yet, the first start creates them", "./pipeline up")]
    known = {role for role in ROLES if _is_known(measurements, role)}
    return diagnose_passwords(path, path.stat().st_mode, set(ROLES) - known)


def _is_known(measurements: Measurements, role: str) -> bool:
    try:
        return bool(measurements.secrets[role])
    except PipelineError:
        return False


def diagnose_passwords(path: Path, mode: int, missing: Iterable[str]) -> Sequence[Said]:
    """Diagnose whether only the owner can read the file, and every role has a password."""
    if mode & _OWNER_ONLY:
        return [wrong(f"others can read {path}", f"chmod 600 {path}")]
    lacking = sorted(missing)
    if lacking:
        return [wrong(f"{path} has no password for {', '.join(lacking)}", "./pipeline up")]
    return [fine(f"only you can read {path}")]


CHECKS: Sequence[Check] = [
    Check(area="machine", title="Python", run=lambda _: diagnose_python(sys.version_info[:3])),
    Check(area="machine", title="packages", run=lambda _: diagnose_packages(locked(), installed)),
    Check(area="machine", title="servers", run=_servers),
    Check(area="machine", title="disk", run=_disk),
    Check(area="machine", title="memory", run=_memory),
    Check(area="machine", title="passwords", run=_passwords),
]
