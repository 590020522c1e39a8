"""Spark's environment in the cache: PySpark, the project's dependencies, and the packaged Java."""

from pathlib import Path

from lakehouse.settings import ROOT
from stack.cache import ensure
from stack.environment import install_environment
from stack.paths import LOCKS, Cache
from stack.tools import Tools, uv_install

_LAUNCHER = """#!/bin/sh
# Spark loads a module that only its machine learning uses, and that the packaged Java lacks.
for option in "$@"; do
  shift
  [ "$option" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$option"
done
exec '{java}' "$@"
"""


def install_spark(tools: Tools, uv: Path, cache: Cache, result: Path) -> None:
    """Create the environment in `result`, an empty folder.

    Raises:
        StopPipelineError: a package cannot be fetched, or differs from its lock.
    """
    install_environment(tools, uv, LOCKS / "spark.txt", result)
    java = result / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(_LAUNCHER.format(java=cache.java))
    java.chmod(0o755)


def ensure_spark(cache: Cache, uv: Path) -> None:
    """Install Spark and the Java that it runs on into the cache, unless they are there.

    Raises:
        StopPipelineError: a package cannot be fetched, or differs from its lock.
    """
    tools = Tools()
    ensure(cache.servers, lambda _, result: uv_install(tools, uv, LOCKS / "servers.txt", result))
    ensure(cache.spark, lambda _, result: install_spark(tools, uv, cache, result))


def programs_of(cache: Cache) -> dict[str, str]:
    """Return Spark's own variables: which Python and which Java driver and workers run on."""
    python = str(cache.spark / "bin" / "python")
    return {
        "PYSPARK_PYTHON": python,
        "PYSPARK_DRIVER_PYTHON": python,
        "JAVA_HOME": str(cache.spark / "java"),
        "PYTHONPATH": str(ROOT),
    }
