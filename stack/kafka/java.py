"""How Kafka's programs are run on the packaged Java."""

from dataclasses import dataclass
from pathlib import Path

from stack.paths import MONITORING, Cache, Data

AGENT_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What tells Prometheus of a Java program, on a loopback port. It does nothing until asked."""

    program: str
    port: int
    cache: Cache
    data: Data

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of the command line of Java; nothing where the port is 0."""
        if not self.port:
            return ()
        return (f"-javaagent:{self.cache.jmx_agent}={AGENT_HOST}:{self.port}:{self.rules_file}",)

    @property
    def rules_file(self) -> Path:
        """Where the program may read which metrics it is to tell."""
        return self.data.run / f"{self.program}-metrics.yml"

    @property
    def rules(self) -> str:
        """What is to be in that file."""
        return (MONITORING / "jmx" / f"{self.program}.yml").read_text()


def java_command(
    cache: Cache,
    data: Data,
    *,
    main_class: str,
    heap_mb: int,
    arguments: tuple[str, ...],
    options: tuple[str, ...],
) -> tuple[str, ...]:
    """Command line of a Java program that logs to standard output.

    Args:
        cache: where Java and the program are.
        data: of the stack.
        main_class: of the program.
        heap_mb: memory of its heap.
        arguments: of the program.
        options: of Java, after those that are always given: of two that say other things, Java
            takes the second.
    """
    return (
        str(cache.java),
        f"-Xms{min(heap_mb, 256)}m",
        f"-Xmx{heap_mb}m",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        # Supervisor starts it again; half alive would be worse.
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        "-Djava.awt.headless=true",
        f"-Djava.io.tmpdir={temporary_dir(data)}",
        f"-Dlog4j2.configurationFile={data.run / 'log4j2.properties'}",
        *options,
        "-cp",
        str(cache.kafka / "libs" / "*"),
        main_class,
        *arguments,
    )


def properties_value(value: object) -> str:
    """A value as Java reads it back from a properties file, which it takes for Latin-1."""
    text = str(value).replace("\\", "\\\\")
    units = text.encode("utf-16-be")
    codes = [int.from_bytes(units[i : i + 2]) for i in range(0, len(units), 2)]
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)


def temporary_dir(data: Data) -> Path:
    """Where native libraries are unpacked to: here, they go when the data goes."""
    return data.of("kafka") / "tmp"


def log_settings() -> str:
    """Content of `log4j2.properties`."""
    return Path(__file__).with_name("log4j2.properties").read_text()
