"""Measurements that several checks share: read once by the first one, while others wait."""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from deltalake import DeltaTable

from batch.catalogue import LakeReader, LakeTable, TableMetrics
from consumers.bronze.table import DeltaBronzeTable
from lakehouse.kafka import Topic, admin_client, captured_pattern, describe_topics, matching_topics
from lakehouse.lake import Lake
from lakehouse.offsets import Epoch
from lakehouse.postgres import oltp_dsn, warehouse_dsn
from lakehouse.secrets import Secrets
from stack.catalog import services
from stack.control import ServiceStatus
from stack.doctor.offsets import Ends, read_ends
from stack.elsewhere import is_elsewhere
from stack.engine import stack_of_settings
from stack.paths import StackConfig
from stack.program import Service
from stack.service_user import find_service_user

Value = TypeVar("Value")


class _Once(Generic[Value]):
    """A thread-safe cached property; an error is raised for all callers."""

    def __init__(self, read: Callable[[Any], Value]) -> None:
        self._read = read
        self.__doc__ = read.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, measurements: "Measurements", owner: type) -> Value:
        with measurements.lock:
            is_first = self._name not in measurements.answers
            answer = measurements.answers.setdefault(self._name, Future())
        if is_first:
            try:
                answer.set_result(self._read(measurements))
            except Exception as error:  # noqa: BLE001 - raised where it is asked for
                answer.set_exception(error)
        value: Value = answer.result()
        return value


class Measurements:
    """Measurements of one stack. Each property may raise the errors of its source.

    Args:
        config: settings of the stack.
        patience_seconds: timeout of requests, where it can be set.
        reader: of this stack's lake; one that has read before reads only what is new.
    """

    def __init__(
        self, config: StackConfig, *, patience_seconds: float, reader: LakeReader | None = None
    ) -> None:
        self.config = config
        self.patience_seconds = patience_seconds
        self.lock = threading.Lock()
        self.answers: dict[str, Future[Any]] = {}
        self._reader = reader

    def not_ready(self, names: Iterable[str]) -> list[str]:
        """Return those of these services that do not answer."""
        wanted = list(names)
        states = self.services if wanted else {}
        return [name for name in wanted if not states[name].is_ready]

    def oltp(self, role: str) -> str:
        """Connection string of the shop."""
        return oltp_dsn(self.config.oltp, self.secrets, role=role)

    def warehouse(self, role: str) -> str:
        """Connection string of the warehouse."""
        return warehouse_dsn(self.config.warehouse, self.secrets, role=role)

    @_Once
    def secrets(self) -> Secrets:
        """Passwords by role; empty before the first start."""
        return Secrets(self.config.stack.secrets_path)

    @_Once
    def services(self) -> Mapping[str, ServiceStatus]:
        """State of each service, by name."""
        stack = stack_of_settings(self.config)
        return {status.service: status for status in stack.status()}

    @_Once
    def catalog(self) -> Mapping[str, Service]:
        """Definition of each service, by name."""
        user = find_service_user(self.config.stack.service_user)
        return services(self.config, self.secrets, user)

    @_Once
    def lake(self) -> Lake:
        """The lake, with read-only credentials."""
        return Lake.of(self.config.minio, self.secrets, user="reader")

    @_Once
    def lake_reader(self) -> LakeReader:
        """What reads the logs of the lake's tables."""
        return self._reader or LakeReader(self.lake)

    @_Once
    def tables(self) -> list[TableMetrics]:
        """Metrics of every table of the lake."""
        return self.lake_reader.metrics()

    @_Once
    def later_tables(self) -> list[TableMetrics]:
        """The same, read again after all earlier measurements.

        Tables are read one after the other: one that seems ahead of the layer below may only have
        been read later.
        """
        _ = self.tables
        return self.lake_reader.metrics()

    @_Once
    def deltas(self) -> Mapping[LakeTable, DeltaTable]:
        """Every table of the lake, opened with Delta."""
        _ = self.tables
        return self.lake_reader.deltas

    @property
    def epochs(self) -> Mapping[str, list[Epoch]]:
        """Epochs of each bronze table, oldest first; tables without epochs are left out."""
        found = {
            partition.name: DeltaBronzeTable(delta).epochs()
            for partition, delta in self.deltas.items()
            if partition.layer == "bronze"
        }
        return {name: epochs for name, epochs in found.items() if epochs}

    @_Once
    def topics(self) -> Mapping[str, Topic]:
        """Topics of the captured tables, by name."""
        admin = admin_client(self.config.kafka.client)
        pattern = captured_pattern(self.config.connect.topic_prefix)
        return describe_topics(admin, matching_topics(admin, pattern))

    def ends(self) -> Ends:
        """Return the current first and end offset of each of their partitions.

        Positions of consumers must be read before: later ones may exceed these ends.
        """
        admin = admin_client(self.config.kafka.client)
        return read_ends(admin, [p for topic in self.topics.values() for p in topic.partitions])


def is_shop_elsewhere(measurements: Measurements) -> bool:
    """Return whether others run the shop, so that `up` does not set it up."""
    return is_elsewhere("oltp", measurements.config)
