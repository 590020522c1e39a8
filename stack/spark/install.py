"""Spark's environment in the cache: PySpark, the project's dependencies, and the packaged Java."""

from pathlib import Path

from lakehouse.environment import environment
from lakehouse.secrets import generate
from lakehouse.settings import ROOT, BatchSettings
from stack.cache import ensure
from stack.environment import install_environment
from stack.paths import LOCKS, Cache, Data, StackConfig
from stack.service_user import ServiceUser
from stack.tools import Tools, uv_install

_LAUNCHER = """#!/bin/sh
# Spark loads a module that only its machine learning uses, and that the packaged Java lacks.
for option in "$@"; do
  shift
  [ "$option" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$option"
done
exec '{java}' "$@"
"""
_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_SHORT_LIVED = f"""spark.ui.enabled false
spark.shuffle.compress false
spark.driver.extraJavaOptions {_JAVA}
spark.executor.extraJavaOptions {_JAVA}
"""
"""Java only moves files of rows between processes: it need not become fast, but begin soon.

Most of the files are compressed.
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


def configuration_in(data: Data) -> Path:
    """Return the folder of the configuration of the stack's Spark."""
    return data.run / "spark"


def make_configuration(data: Data) -> None:
    """Create it: who does not know its secret can run no program, and receives none."""
    folder = ServiceUser().make_private_dir(configuration_in(data))
    if not (file := folder / "spark-defaults.conf").exists():
        text = f"spark.authenticate true\nspark.authenticate.secret {generate()}\n{_SHORT_LIVED}"
        ServiceUser().write_private(file, text)


def driver_of(config: StackConfig) -> dict[str, str]:
    """Return the variable by which a driver finds that configuration, if the master is ours."""
    data = Data(root=config.stack.data_dir)
    is_given = "SPARK_CONF_DIR" in environment() or not config.spark.is_here
    folder = configuration_in(data)
    return {} if is_given or not folder.exists() else {"SPARK_CONF_DIR": str(folder)}


def programs_of(cache: Cache) -> dict[str, str]:
    """Return Spark's own variables: which Python and which Java driver and workers run on."""
    python = str(cache.spark / "bin" / "python")
    return {
        "PYSPARK_PYTHON": python,
        "PYSPARK_DRIVER_PYTHON": python,
        "JAVA_HOME": str(cache.spark / "java"),
        "PYTHONPATH": str(ROOT),
    }


def programs_of_tasks(config: StackConfig, cache: Cache) -> dict[str, str]:
    """Return the variables by which tasks of Airflow find what a driver runs on.

    None without BATCH_ENGINE=spark, or where Spark is not installed here: then Airflow's own
    environment counts.
    """
    if BatchSettings().engine != "spark" or not cache.spark.exists():
        return {}
    # The folder is made when Spark starts, which may be later than Airflow.
    ours = str(configuration_in(Data(root=config.stack.data_dir)))
    return programs_of(cache) | ({"SPARK_CONF_DIR": ours} if config.spark.is_here else {})
