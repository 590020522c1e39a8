"""The services of the stack: programs, titles, dependencies, ports."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lakehouse.errors import StopPipelineError
from lakehouse.secrets import Secrets
from lakehouse.settings import OltpSettings, WarehouseSettings
from lakehouse.variables import address
from stack.airflow.server import Airflow
from stack.kafka.broker import Broker
from stack.kafka.java import AGENT_HOST
from stack.kafka.worker import Worker
from stack.minio.server import MinioServer
from stack.net import is_listening
from stack.paths import StackConfig, mapping_digest
from stack.postgres.server import PostgresServer
from stack.program import Port, Program, Service, service_of
from stack.prometheus.server import Prometheus, StatsdExporter
from stack.seaweedfs.server import INNER_PORTS, SeaweedServer
from stack.service_user import ServiceUser
from stack.shared import Shared
from stack.spark.install import programs_of_tasks
from stack.spark.server import WORKERS, Spark
from stack.superset.server import SupersetServer

SERVERS = ("oltp", "warehouse", "kafka", "connect", "minio")
"""Third-party servers."""
SHOP = (*SERVERS, "auto-restart", "lander", "live")
"""Services on the way of a change to bronze and to live charts."""
AIRFLOW = ("airflow", "airflow-dags", "airflow-scheduler")
"""Services of the hourly run."""
SUPERSET = ("superset",)
"""Services of the charts."""
MONITORING = ("exporter", "statsd-exporter", "prometheus")
"""Services that monitor the others."""
SPARK = ("spark-master", *WORKERS)
"""Services of Spark, for what is large."""
DEFAULT = (*SHOP, *AIRFLOW, *SUPERSET)
"""Services that `up` starts by default."""


def chosen(
    *, airflow: bool, superset: bool, monitoring: bool, spark: bool = False
) -> tuple[str, ...]:
    """Return the services to start, with or without Airflow, Superset, monitoring and Spark."""
    return (
        *SHOP,
        *(AIRFLOW if airflow else ()),
        *(SUPERSET if superset else ()),
        *(MONITORING if monitoring else ()),
        *(SPARK if spark else ()),
    )


def services(config: StackConfig, secrets: Secrets, user: ServiceUser) -> dict[str, Service]:
    """Return every service by name."""
    catalog = _Catalog(config=config, secrets=secrets, user=user)
    found = (
        catalog.oltp(),
        catalog.warehouse(),
        catalog.kafka(),
        catalog.connect(),
        catalog.minio(),
        catalog.auto_restart(),
        catalog.lander(),
        catalog.live(),
        *catalog.airflow(),
        catalog.superset(),
        *catalog.monitoring(),
        *catalog.spark(),
    )
    return {service.name: service for service in found}


class _Catalog(Shared):
    @property
    def _shared(self) -> dict[str, Any]:
        """Return what servers are made from."""
        return {"config": self.config, "secrets": self.secrets, "user": self.user}

    def oltp(self) -> Service:
        # Limit of retained WAL: a connector that never comes back must not fill the disk.
        keep = {"max_slot_wal_keep_size": f"{self.config.stack.slot_wal_keep_mb}MB"}
        return self._postgres("oltp", "the shop's Postgres", self.config.oltp, keep)

    def warehouse(self) -> Service:
        # With a mapping, nothing is made there before that has been checked against the shop.
        needs = ("oltp",) if mapping_digest() else ()
        title = "the warehouse's Postgres"
        return self._postgres("warehouse", title, self.config.warehouse, {}, needs)

    def _postgres(
        self,
        name: str,
        title: str,
        settings: OltpSettings | WarehouseSettings,
        values: Mapping[str, str],
        needs: tuple[str, ...] = (),
    ) -> Service:
        return service_of(
            PostgresServer(name=name, settings=settings, values=values, **self._shared),
            Port(variable=f"{name.upper()}_PORT", host=settings.host, number=settings.port),
            title=title,
            url=f"postgresql://{address(settings.host, settings.port)}/{settings.database}",
            needs=needs,
        )

    def kafka(self) -> Service:
        settings = self.config.kafka
        listener = Port(variable="KAFKA_PORT", host=settings.host, number=settings.port)
        return service_of(
            Broker(**self._shared),
            listener,
            replace(listener, number=settings.controller_port, is_published=False),
            self._metrics("kafka", AGENT_HOST),
            title="the log of changes",
            url=settings.bootstrap_servers,
        )

    def connect(self) -> Service:
        settings = self.config.connect
        return service_of(
            Worker(**self._shared),
            Port(variable="CONNECT_PORT", host=settings.host, number=settings.port),
            self._metrics("connect", AGENT_HOST),
            title="Debezium, in Kafka Connect",
            url=settings.url,
            needs=("oltp", "kafka"),
        )

    def minio(self) -> Service:
        settings = self.config.minio
        s3 = Port(variable="MINIO_PORT", host=settings.host, number=settings.port)
        console = replace(s3, variable="MINIO_CONSOLE_PORT", number=settings.console_port)
        if self.config.store == "minio":
            return service_of(
                MinioServer(**self._shared),
                s3,
                console,
                title="the lake's object store",
                url=f"{settings.url}, console :{console.number}",
            )
        inner = (replace(console, number=console.number + n) for n in range(INNER_PORTS))
        return service_of(
            SeaweedServer(**self._shared),
            s3,
            *inner,
            title="the lake's object store, SeaweedFS",
            url=settings.url,
        )

    def auto_restart(self) -> Service:
        # No dependencies: it also restarts a connector that fails from the beginning.
        title = "restarts a failed connector"
        return self._ours("auto-restart", (("connect", "auto-restart")), title, needs=())

    def lander(self) -> Service:
        ports = (self._metrics("lander"),)
        return self._ours("lander", ("land",), "Kafka to bronze", ports, niceness=5)

    def live(self) -> Service:
        return self._ours("live", ("live",), "Kafka to live charts", (self._metrics("live"),))

    def _ours(
        self,
        name: str,
        command: Sequence[str],
        title: str,
        ports: tuple[Port, ...] = (),
        *,
        needs: tuple[str, ...] = SERVERS,
        niceness: int = 0,
    ) -> Service:
        """Return a program of the project, with its metrics port if it has one."""
        program = Program(
            name=name,
            command=(sys.executable, "-P", "-m", "cli", *command),
            directory=self.data.root,
            environment=self.variables,
            is_ours=True,
            # On SIGTERM the lander commits its batch and leaves its group, within ten seconds.
            stop_seconds=15,
            # Reasons to stop, such as a loss, persist over a restart.
            final_exit_status=StopPipelineError.exit_status,
            niceness=niceness,
            configuration=mapping_digest(),
        )
        return Service(
            program=program,
            title=title,
            url="".join(f"http://{port.host}:{port.number}/metrics" for port in ports),
            ports=ports,
            needs=needs,
            prepare=lambda: None,
            probe=lambda: all(is_listening(port.host, port.number) for port in ports),
        )

    def superset(self) -> Service:
        settings = self.config.superset
        return service_of(
            SupersetServer(**self._shared),
            Port(variable="SUPERSET_PORT", host=settings.host, number=settings.port),
            title="Superset, the charts",
            url=settings.url,
            needs=("warehouse",),
        )

    def airflow(self) -> tuple[Service, ...]:
        """Return Airflow's services; the server comes first, since tasks fail without it."""
        settings = self.config.airflow
        airflow = Airflow(
            settings=settings,
            monitoring=self.config.monitoring,
            warehouse=self.config.warehouse,
            secrets=self.secrets,
            variables={**self.variables, **programs_of_tasks(self.config, self.cache)},
            python=self.cache.airflow / "bin" / "python",
            version=self.cache.airflow.name,
            data=self.data,
        )
        server = Service(
            program=airflow.program("airflow", "api-server"),
            title="Airflow's web UI and API",
            url=settings.url,
            ports=(Port(variable="AIRFLOW_PORT", host=settings.host, number=settings.port),),
            needs=("warehouse",),
            prepare=airflow.prepare,
            probe=airflow.answers,
        )
        parser = Service(
            program=airflow.program("airflow-dags", "dag-processor"),
            title="parses dags/ for Airflow",
            url="",
            ports=(),
            needs=("airflow",),
            prepare=lambda: None,
            probe=lambda: airflow.is_healthy("dag_processor"),
        )
        scheduler = Service(
            program=airflow.program("airflow-scheduler", "scheduler", "--skip-serve-logs"),
            title="Airflow's scheduler; runs the tasks",
            url="",
            ports=(),
            # The first run starts at once and needs all of them.
            needs=("airflow", *SERVERS),
            prepare=lambda: None,
            probe=lambda: airflow.is_healthy("scheduler"),
        )
        return server, parser, scheduler

    def monitoring(self) -> tuple[Service, ...]:
        """Return the services of monitoring; the exporter has no dependencies."""
        ports = (self._metrics("exporter"),)
        exporter = self._ours(
            "exporter", ("exporter",), "metrics of the pipeline, for Prometheus", ports, niceness=10
        )
        settings = self.config.monitoring
        host, port = settings.host, settings.metrics_port("statsd-exporter")
        statsd = service_of(
            StatsdExporter(**self._shared),
            Port(variable="MONITORING_BASE_PORT", host=host, number=port, is_published=False),
            title="metrics of Airflow, for Prometheus",
            url=f"http://{host}:{port}/metrics",
        )
        prometheus = service_of(
            Prometheus(**self._shared),
            Port(variable="MONITORING_PORT", host=host, number=settings.port),
            title="Prometheus: metrics and alerts",
            url=settings.url,
            needs=("exporter", "statsd-exporter", "lander", "live"),
        )
        return exporter, statsd, prometheus

    def spark(self) -> tuple[Service, ...]:
        """Return Spark's master and workers, which `up` starts when asked to."""
        return tuple(Spark(**self._shared).services())

    def _metrics(self, service: str, host: str | None = None) -> Port:
        """Return the port at which a service serves metrics."""
        settings = self.config.monitoring
        return Port(
            variable="MONITORING_BASE_PORT",
            host_variable="MONITORING_METRICS_HOST",
            host=host or settings.metrics_host,
            number=settings.metrics_port(service),
            is_published=False,
        )
