"""Command lines and configuration of Java programs, on the packaged Java."""

from dataclasses import dataclass
from pathlib import Path
from string import Template

from stack.paths import MONITORING, Cache, Data

AGENT_HOST = "127.0.0.1"
LOG_SETTINGS = Path(__file__).with_name("log4j2.properties")
MAIN_CLASSES = {
    "format": "kafka.tools.StorageTool",
    "kafka": "kafka.Kafka",
    "connect": "org.apache.kafka.connect.cli.ConnectDistributed",
}
"""By program; `format` prepares the storage of the broker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """The JMX exporter agent of a Java program, on a loopback port."""

    program: str
    port: int
    cache: Cache
    data: Data

    @property
    def argument(self) -> str:
        """Return the option for Java's command line."""
        return f"-javaagent:{self.cache.jmx_agent}={AGENT_HOST}:{self.port}:{self.rules_file}"

    @property
    def rules_file(self) -> Path:
        """Return the path of the agent's configuration, readable by the program."""
        return self.data.run / f"{self.program}-metrics.yml"

    @property
    def rules(self) -> str:
        """Return the content of that file."""
        return (MONITORING / "jmx" / f"{self.program}.yml").read_text()


def java_command(
    cache: Cache,
    data: Data,
    *,
    program: str,
    heap_mb: int,
    arguments: tuple[str, ...],
    options: tuple[str, ...],
) -> tuple[str, ...]:
    """Return the command line of a Java program that logs to standard output.

    Args:
        cache: paths of Java and the program.
        data: paths of the stack's data.
        program: one of `MAIN_CLASSES`.
        heap_mb: maximum heap size.
        arguments: arguments of the program.
        options: options of Java, after the common ones: of conflicting options, the last wins.
    """
    return (
        str(cache.java),
        f"-Xms{min(heap_mb, 256)}m",
        f"-Xmx{heap_mb}m",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        # Exit on out of memory: supervisor restarts the program.
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        "-Djava.awt.headless=true",
        f"-Djava.io.tmpdir={temporary_dir(data)}",
        f"-Dlog4j2.configurationFile={data.run / 'log4j2.properties'}",
        *_archive(cache, program),
        *options,
        "-cp",
        str(cache.kafka / "libs" / "*"),
        MAIN_CLASSES[program],
        *arguments,
    )


def base_archive(java: Path) -> Path:
    """Return where Java looks for the archive of its own classes, which the packaged one lacks."""
    return java.parents[1] / "lib" / "server" / "classes.jsa"


def archive_of(kafka: Path, program: str) -> Path:
    """Return the path of the classes of a server; what formats is part of the broker."""
    return kafka / f"{'kafka' if program == 'format' else program}.jsa"


def _archive(cache: Cache, program: str) -> tuple[str, ...]:
    """Return the options with which Java maps the archives, if there are any.

    Of those that do not fit other options, such as another garbage collector, it says nothing.
    """
    file = archive_of(cache.kafka, program)
    if not (file.exists() and base_archive(cache.java).exists()):
        return ()
    return (f"-XX:SharedArchiveFile={file}", "-Xlog:cds=off", "-Xlog:aot=off")


def properties_value(value: object) -> str:
    """Escape a value for a Java properties file, which is read as Latin-1."""
    text = str(value).replace("\\", "\\\\")
    units = text.encode("utf-16-be")
    codes = [int.from_bytes(units[i : i + 2]) for i in range(0, len(units), 2)]
    return "".join(chr(code) if 32 <= code < 128 else f"\\u{code:04x}" for code in codes)


def configuration(name: str, **values: object) -> str:
    """Return the content of a `.properties` file of this folder, with these values."""
    template = Template(Path(__file__).with_name(f"{name}.properties").read_text())
    return template.substitute({key: properties_value(value) for key, value in values.items()})


def temporary_dir(data: Data) -> Path:
    """Return the directory for unpacked native libraries, inside the data directory."""
    return data.of("kafka") / "tmp"


def log_settings() -> str:
    """Return the content of `log4j2.properties`."""
    return LOG_SETTINGS.read_text()
