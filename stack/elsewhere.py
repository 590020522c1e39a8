"""Servers that others run: which ones these are, whether they let us in, and what they lack.

A server is elsewhere if its host is set, to another machine or to this one, or is no loopback
address, at which alone servers are started here. A stack that has data of its own server keeps it.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import psycopg
from minio import Minio
from minio.error import S3Error
from urllib3.exceptions import HTTPError

from batch.warehouse.migrate import pending
from connectors.rest import ConnectApi
from lakehouse.errors import AwayError, PipelineError, Problem, WrongArgumentError, sentence
from lakehouse.kafka import admin_client, captured_pattern, matching_topics
from lakehouse.object_store import impatient_pool, object_store, trouble_of_client, way_out
from lakehouse.postgres import explaining, oltp_dsn, warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import (
    ConnectSettings,
    KafkaSettings,
    MinioSettings,
    OltpSettings,
    WarehouseSettings,
)
from lakehouse.trouble import Service, Trouble, told
from stack.findings import Finding, Said
from stack.paths import Data, StackConfig
from stack.source.check import diagnose, diagnose_other_schemas, read_source

_Server = OltpSettings | WarehouseSettings | KafkaSettings | ConnectSettings | MinioSettings
_SECONDS = 5
_PREPARES: Mapping[str, str] = {
    # Not `prepare`, which would make the simulated shop's roles and tables there.
    "oltp": "./pipeline source check URL --apply",
    "warehouse": "./pipeline prepare warehouse",
    "minio": "./pipeline prepare minio",
    "connect": "./pipeline prepare connect",
}
"""What makes what a server elsewhere needs, by service; Kafka needs nothing."""


def is_loopback(host: str) -> bool:
    """Return whether it is an address of this machine that only its own programs reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_elsewhere(name: str, config: StackConfig) -> bool:
    """Return whether others run this server, so that it is neither started nor set up here."""
    settings = _servers(config).get(name)
    if settings is None or settings.host in ("0.0.0.0", "::"):  # noqa: S104 - refused by `up`
        return False
    if not is_loopback(settings.host):
        return True
    data = Data(root=config.stack.data_dir)
    # Connect makes the folder of Kafka, too.
    own = data.of("kafka") / "data" if name == "kafka" else data.of(name)
    return "host" in settings.model_fields_set and not own.exists()


def _servers(config: StackConfig) -> Mapping[str, _Server]:
    return {
        "oltp": config.oltp,
        "warehouse": config.warehouse,
        "kafka": config.kafka,
        "connect": config.connect,
        "minio": config.minio,
    }


def prepares(name: str, config: StackConfig) -> str:
    """Return the command that sets a server up."""
    return _PREPARES[name] if is_elsewhere(name, config) else f"./pipeline up {name}"


class Elsewhere:
    """Questions to servers elsewhere, by their own protocols, with the settings and passwords."""

    def __init__(self, config: StackConfig, secrets: Secrets) -> None:
        self._config = config
        self._secrets = secrets
        self._place = config.stack.secrets_path

    def problem(self, name: str) -> Problem | None:
        """Return why a server cannot be used; None if it answers and lets us in."""
        try:
            self._ask(name)
        except AwayError as error:
            variable = name.upper()
            action = f"Start it, or correct {variable}_HOST and {variable}_PORT"
            if is_loopback(_servers(self._config)[name].host):
                action += f"; or unset {variable}_HOST: ./pipeline up then starts one"
            return Problem(error.told.problem, f"{action}.")
        except PipelineError as error:
            return error.told
        return None

    def remarks(self, name: str) -> Sequence[str]:
        """Return why a server cannot be used, or else what it lacks; nothing if all is well."""
        if problem := self.problem(name):
            return [problem]
        try:
            return list(self._look(name))
        except PipelineError as error:
            return [error.told]

    def require_simulated(self) -> None:
        """Check that the shop's database is one that the simulator was given.

        Raises:
            WrongArgumentError: it lets no simulator in, or does not answer.
        """
        try:
            dsn = oltp_dsn(self._config.oltp, self._secrets, role="simulator")
            self._ask_postgres(Service.SHOP, dsn)
        except PipelineError as error:
            place = self._config.oltp.host
            problem = f"OLTP_HOST is {place}, where no simulator can sell: {error.told.problem}"
            action = (
                "Unset it; or make the simulated shop there, if the database is to hold it: "
                "./pipeline prepare oltp."
            )
            raise WrongArgumentError(problem, action) from error

    def _ask(self, name: str) -> None:
        config = self._config
        if name == "oltp":
            dsn = oltp_dsn(config.oltp, self._secrets, role="monitor")
            self._ask_postgres(Service.SHOP, dsn)
        elif name == "warehouse":
            dsn = warehouse_dsn(config.warehouse, self._secrets, role="batch")
            self._ask_postgres(Service.WAREHOUSE, dsn)
        elif name == "kafka":
            pattern = captured_pattern(config.connect.topic_prefix)
            matching_topics(admin_client(config.kafka.client), pattern, timeout_seconds=_SECONDS)
        elif name == "connect":
            with ConnectApi.of(config.connect) as api:
                api.state()
        else:
            self._has_bucket(config.minio.bronze_bucket)

    def _ask_postgres(self, service: Service, dsn: str) -> None:
        then = {
            Trouble.RIGHTS: f"{_PREPARES[service.value]} makes its roles, with the passwords of "
            f"{self._place}.",
            Trouble.SCHEMA: f"Correct {service.value.upper()}_DATABASE.",
        }
        with (
            explaining(service, "It cannot be asked", then=then),
            psycopg.connect(dsn, connect_timeout=_SECONDS),
        ):
            pass

    def _look(self, name: str) -> Iterator[str]:
        """Yield what a server that answers lacks, and what of it is not captured."""
        config = self._config
        lacks: list[str] = []
        if name == "oltp":
            wrong, others = self._look_at_shop()
            lacks = [one.words for one in wrong if one.remedy.startswith(_PREPARES[name])]
            own = [one for one in wrong if not one.remedy.startswith(_PREPARES[name])]
            yield from (Problem(one.words, sentence(one.remedy)) for one in own)
            yield from (Problem(one.words, sentence(one.remedy)) for one in others)
        elif name == "warehouse":
            dsn = warehouse_dsn(config.warehouse, self._secrets, role="batch")
            with (
                explaining(Service.WAREHOUSE, "Its migrations cannot be read"),
                psycopg.connect(dsn, connect_timeout=_SECONDS) as connection,
            ):
                lacks = [f"migration {file}" for file in pending(connection)[:1]]
        elif name == "connect":
            with ConnectApi.of(config.connect) as api:
                lacks = [] if api.state() else [f"the connector {config.connect.connector_name}"]
        elif name == "minio":
            minio = config.minio
            buckets = (minio.bronze_bucket, minio.silver_bucket, minio.gold_bucket)
            lacks = [f"the bucket {name}" for name in buckets if not self._has_bucket(name)]
        if lacks:
            yield Problem(f"something is missing: {'; '.join(lacks)}", f"{_PREPARES[name]}.")

    def _look_at_shop(self) -> tuple[Sequence[Finding], Sequence[Said]]:
        """Return what is wrong with the shop's database, and what of it is not captured."""
        dsn = oltp_dsn(self._config.oltp, self._secrets, role="monitor")
        source = read_source(dsn, self._config.connect)
        found = diagnose(source, self._config.connect)
        wrong = [one for one in found if one.verdict == "wrong"]
        return wrong, diagnose_other_schemas(source.other_schemas)

    @cached_property
    def _store(self) -> Minio:
        pool = impatient_pool(self._config.minio.scheme, _SECONDS)
        return object_store(self._config.minio, self._secrets, user="reader", pool=pool)

    def _has_bucket(self, name: str) -> bool:
        try:
            return self._store.bucket_exists(name)
        except (S3Error, HTTPError) as error:
            may = f"{_PREPARES['minio']} makes its users, with the passwords of {self._place}."
            then = {Trouble.RIGHTS: may, **way_out(error)}
            trouble = trouble_of_client(error)
            raise told(trouble, Service.STORE, "It cannot be asked", error, then=then) from error
