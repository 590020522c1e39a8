"""A standalone master of Spark and its workers, on loopback."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lakehouse.errors import StopPipelineError
from lakehouse.version import distributed_version
from stack.net import is_listening
from stack.paths import mapping_digest
from stack.program import Port, Program, Service
from stack.service_user import ServiceUser
from stack.shared import Shared
from stack.spark.install import configuration_in, make_configuration, programs_of

WORKERS = ("spark-worker-1", "spark-worker-2")
_DEFAULT = ("127.0.0.1", 7077)
_CORES = 1
"""Of each worker: two show what a second one is worth, and a small machine has no more."""


@dataclass(frozen=True, kw_only=True)
class Spark(Shared):
    """The services of Spark. They run as the caller, as they run the project's own functions."""

    def services(self) -> Iterator[Service]:
        """Yield the master, then its workers."""
        masters = self.config.spark.masters
        host, port = masters[0] if masters else _DEFAULT

        def require_standalone() -> None:
            if len(masters) != 1:
                problem = f"SPARK_MASTER is {self.config.spark.master}, and no standalone master"
                raise StopPipelineError(problem, "Start no Spark here, or unset SPARK_MASTER.")

        yield self._service(
            "spark-master",
            "Spark's master",
            ("deploy.master.Master", "--host", host, "--port", str(port), "--webui-port", "0"),
            prepare=require_standalone,
            ports=(
                Port(
                    variable="SPARK_MASTER",
                    host_variable="SPARK_MASTER",
                    host=host,
                    number=port,
                    is_published=False,
                ),
            ),
        )
        for name in WORKERS:
            yield self._service(
                name,
                "validates and writes for the master",
                (
                    *("deploy.worker.Worker", "--host", "127.0.0.1", "--webui-port", "0"),
                    *("--cores", str(_CORES), "--memory", "1g"),
                    *("--work-dir", str(self.data.of(name) / "work")),
                    f"spark://{host}:{port}",
                ),
                needs=("spark-master",),
            )

    def _service(
        self,
        name: str,
        title: str,
        command: tuple[str, ...],
        *,
        prepare: Callable[[], None] = lambda: None,
        ports: tuple[Port, ...] = (),
        needs: tuple[str, ...] = (),
    ) -> Service:
        home = self.data.of(name)
        spark_class = self.cache.spark_home / "bin" / "spark-class"

        def made() -> None:
            prepare()
            make_configuration(self.data)
            ServiceUser().make_private_dir(home)

        return Service(
            program=Program(
                name=name,
                command=(str(spark_class), f"org.apache.spark.{command[0]}", *command[1:]),
                directory=home,
                environment={
                    # The contracts in effect are part of what a worker computes by.
                    **self.variables,
                    **programs_of(self.cache),
                    "SPARK_CONF_DIR": str(configuration_in(self.data)),
                    "SPARK_HOME": str(self.cache.spark_home),
                    # Otherwise their web pages listen on all interfaces.
                    "SPARK_LOCAL_IP": "127.0.0.1",
                    "SPARK_LOCAL_DIRS": str(home),
                    "SPARK_DAEMON_MEMORY": "256m",
                    # Another port, by which anybody could submit programs.
                    "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",
                },
                is_ours=True,
                niceness=5,
                configuration=mapping_digest() + distributed_version(),
            ),
            title=title,
            url="".join(f"spark://{port.host}:{port.number}" for port in ports),
            ports=ports,
            needs=needs,
            prepare=made,
            probe=lambda: all(is_listening(port.host, port.number) for port in ports),
        )
