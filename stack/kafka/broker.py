"""The Kafka broker: storage is formatted once, configuration rendered at each start."""

import base64
import logging
import uuid
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from lakehouse.settings import KafkaSettings
from stack.kafka.java import Agent, configuration, java_command, log_settings, temporary_dir
from stack.net import is_listening
from stack.program import Program
from stack.shared import Shared


@dataclass(frozen=True, kw_only=True)
class Broker(Shared):
    """One broker in combined mode, which is its own controller."""

    @property
    def _settings(self) -> KafkaSettings:
        return self.config.kafka

    def program(self) -> Program:
        """Return its definition for supervisor."""
        return Program(
            name="kafka",
            command=java_command(
                self.cache,
                self.data,
                program="kafka",
                heap_mb=self._settings.heap_mb,
                arguments=(str(self._properties_file),),
                options=(self._agent.argument, *self._settings.java_options.split()),
            ),
            directory=self.data.of("kafka"),
            stop_seconds=30,
            start_seconds=2,
            configuration=self._configuration() + log_settings() + self._agent.rules,
        )

    def prepare(self) -> None:
        """Write the configuration, and format the storage if it is new."""
        self.user.make_private_dir(self.data.of("kafka"))
        self.user.make_private_dir(temporary_dir(self.data))
        self.user.write_private(self.data.run / "log4j2.properties", log_settings())
        self.user.write_private(self._properties_file, self._configuration())
        self.user.write_private(self._agent.rules_file, self._agent.rules)
        if not (self._storage / "meta.properties").exists():
            self._format()

    def probe(self) -> bool:
        """Return whether it answers a metadata request."""
        if not is_listening(self._settings.host, self._settings.port):
            return False
        config: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self._settings.bootstrap_servers,
            "log_level": 0,
        }
        admin = AdminClient(config, logger=logging.getLogger("stack.kafka.probe"))
        try:
            return bool(admin.list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    @property
    def _storage(self) -> Path:
        return self.data.of("kafka") / "data"

    @property
    def _agent(self) -> Agent:
        port = self.config.monitoring.metrics_port("kafka")
        return Agent(program="kafka", port=port, cache=self.cache, data=self.data)

    @property
    def _properties_file(self) -> Path:
        return self.data.run / "kafka.properties"

    def _configuration(self) -> str:
        return configuration(
            "server",
            host=self._settings.host,
            port=self._settings.port,
            controller_port=self._settings.controller_port,
            retention_hours=self._settings.retention_hours,
            data_dir=self._storage,
        )

    def _format(self) -> None:
        # With "=", since an id may start with a dash.
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = java_command(
            self.cache,
            self.data,
            program="format",
            heap_mb=128,
            options=tuple(self._settings.java_options.split()),
            arguments=(
                *("format", "--ignore-formatted"),
                *(f"--cluster-id={cluster_id}", "--config", str(self._properties_file)),
            ),
        )
        self.user.run(command, env={"LANG": "C.UTF-8"}, cwd=self.data.of("kafka"))
