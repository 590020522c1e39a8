"""Kafka, Connect and the Debezium plugin, from the locked jars: each verified by its SHA-256.

Our converters are compiled into the plugin. The packaged Java has no compiler: Eclipse's is a jar.
"""

import os
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from lakehouse.environment import process_environment
from lakehouse.settings import ROOT
from stack.paths import JAR_LOCK, JAVA_COMPILER, JAVA_SOURCES, JMX_AGENT, java_in
from stack.tools import Tools

_COMPILER_OPTIONS = ("-source", "17", "-target", "17", "-proc:none")
"""The oldest Java that runs Debezium: that of the Connect image may be another than ours."""
_FETCH = Path(__file__).with_name("fetch.py")


def install_jars(
    tools: Tools,
    servers: Path,
    work: Path,
    result: Path,
    *,
    on_progress: Callable[[int, int], None],
) -> None:
    """Fill `result` with `libs/`, `plugins/`, the metrics agent and the compiler.

    Args:
        tools: runner of the download program.
        servers: folder with that program's packages.
        work: directory of downloads, reused after an interruption.
        result: directory to fill.
        on_progress: called with the numbers of fetched and of all files.

    Raises:
        StopPipelineError: a file cannot be fetched, or differs from its lock.
    """
    repository = work / "repository"
    files = fetch_jars(tools, servers, repository, JAR_LOCK, on_progress=on_progress)
    for file in files:
        _place(file, result)
    _compile(tools, java_in(servers), work / "classes", result)


def fetch_jars(
    tools: Tools,
    servers: Path,
    repository: Path,
    lock: Path,
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> list[Path]:
    """Fetch the files of a lock into a repository, and return their paths.

    Args:
        tools: runner of the download program.
        servers: folder with that program's packages.
        repository: directory of downloads, reused after an interruption.
        lock: coordinates and SHA-256.
        on_progress: called with the numbers of fetched and of all files.

    Raises:
        StopPipelineError: a file cannot be fetched, or differs from its lock.
    """
    expected = sum(not line.startswith("#") for line in lock.read_text().splitlines())
    files: list[Path] = []

    def on_line(line: str) -> bool:
        _, tab, path = line.partition("\t")
        if tab:
            files.append(Path(path))
            on_progress(len(files), expected)
        return bool(tab)

    tools.run(
        [sys.executable, _FETCH, repository, lock],
        env=process_environment() | {"PYTHONPATH": f"{servers}{os.pathsep}{ROOT}"},
        on_line=on_line,
    )
    return files


def _compile(tools: Tools, java: Path, classes: Path, result: Path) -> None:
    """Compile our converters, and pack them beside the plugin's own jars."""
    jars = sorted([*(result / "libs").glob("*.jar"), *result.glob("plugins/*/*.jar")])
    command: list[str | Path] = [
        java, "-jar", result / f"{JAVA_COMPILER}.jar", *_COMPILER_OPTIONS,
        "-classpath", os.pathsep.join(map(str, jars)), "-d", classes, JAVA_SOURCES,
    ]  # fmt: skip
    tools.run(command, env=process_environment())
    [plugin] = {jar.parent for jar in result.glob("plugins/*/debezium-connector-*.jar")}
    with zipfile.ZipFile(plugin / "masks.jar", "w") as jar:
        for file in sorted(classes.rglob("*.class")):
            jar.write(file, file.relative_to(classes))


def _place(file: Path, result: Path) -> None:
    if file.name.endswith(".tar.gz"):
        with tarfile.open(file) as archive:
            # Python has extraction filters since 3.11.4; Debian 12 has an older one.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(result / "plugins")  # noqa: S202 - it is the one that was locked
    else:
        place = result / place_of(file.name)
        place.parent.mkdir(exist_ok=True)
        os.link(file, place)


def place_of(jar: str) -> str:
    """Return the path of a jar."""
    # Programs that bundle their own libraries, which must not be on the classpath of others.
    alone = (name for name in (JMX_AGENT, JAVA_COMPILER) if jar.startswith(name))
    return next((f"{name}.jar" for name in alone), f"libs/{jar}")
