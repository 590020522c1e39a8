"""The Connect worker, with the connector's secrets in a file that only it can read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lakehouse.settings import ConnectSettings
from lakehouse.settings.servers import text_of
from stack.kafka.java import (
    Agent,
    configuration,
    java_command,
    log_settings,
    properties_value,
    temporary_dir,
)
from stack.net import http_status
from stack.program import Program
from stack.shared import Shared

_TOKEN_URL = "sasl.oauthbearer.token.endpoint.url"  # noqa: S105 - a name
_NAMES = {
    "security.protocol": "security.protocol",
    "sasl.mechanism": "sasl.mechanism",
    _TOKEN_URL: _TOKEN_URL,
    "sasl.oauthbearer.scope": "sasl.oauthbearer.scope",
    "sasl.oauthbearer.client.id": "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.secret": "sasl.oauthbearer.client.credentials.client.secret",
}
"""Java's names of librdkafka's properties."""
_PACKAGE = "org.apache.kafka.common.security"
_MODULES = {
    "PLAIN": "plain.PlainLoginModule",
    "SCRAM-SHA-256": "scram.ScramLoginModule",
    "SCRAM-SHA-512": "scram.ScramLoginModule",
    "OAUTHBEARER": "oauthbearer.OAuthBearerLoginModule",
}
_LOGIN_OPTIONS = {
    "sasl.username": "username",
    "sasl.password": "password",
    "https.ca.location": "ssl.truststore.location",
}
"""Java's names of those that are options of its login."""


@dataclass(frozen=True, kw_only=True)
class Worker(Shared):
    """One worker of Kafka Connect."""

    @property
    def _settings(self) -> ConnectSettings:
        return self.config.connect

    def program(self) -> Program:
        """Return its definition for supervisor."""
        return Program(
            name="connect",
            command=java_command(
                self.cache,
                self.data,
                program="connect",
                heap_mb=self._settings.heap_mb,
                arguments=(str(self._properties_file),),
                options=(
                    self._agent.argument,
                    *self.config.kafka.java_options.split(),
                    *allowed_urls(self.config.kafka.client),
                ),
            ),
            directory=self.data.of("connect"),
            stop_seconds=20,
            start_seconds=3,
            configuration=self._configuration() + log_settings() + self._agent.rules,
        )

    def prepare(self) -> None:
        """Write the configuration, and the file with password and salt."""
        for folder in (self.data.of("connect"), self.data.of("kafka"), temporary_dir(self.data)):
            self.user.make_private_dir(folder)
        self.user.write_private(self.data.run / "log4j2.properties", log_settings())
        self.user.write_private(self._properties_file, self._configuration())
        self.user.write_private(self._agent.rules_file, self._agent.rules)
        passwords = (
            f"debezium.password={properties_value(self.secrets['oltp_debezium'])}\n"
            f"mask.salt={properties_value(self.secrets['mask_salt'])}\n"
        )
        self.user.write_private(self.config.stack.connect_secrets_path, passwords)

    def probe(self) -> bool:
        """Return whether its health endpoint reports success."""
        return http_status(self._settings.host, self._settings.port, "/health") == 200

    @property
    def _agent(self) -> Agent:
        port = self.config.monitoring.metrics_port("connect")
        return Agent(program="connect", port=port, cache=self.cache, data=self.data)

    @property
    def _properties_file(self) -> Path:
        return self.data.run / "connect.properties"

    def _configuration(self) -> str:
        return configuration(
            "connect",
            bootstrap_servers=self.config.kafka.bootstrap_servers,
            host=self._settings.host,
            port=self._settings.port,
            plugins=self.cache.kafka / "plugins",
            secrets_file=self.config.stack.connect_secrets_path,
        ) + security(self.config.kafka.client)


def allowed_urls(client: Mapping[str, str]) -> tuple[str, ...]:
    """Return the option of Java without which Kafka's clients ask no URL for a token."""
    url = client.get(_TOKEN_URL)
    return () if url is None else (f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={url}",)


def security(client: Mapping[str, str]) -> str:
    """Return librdkafka's properties of TLS and login as Java's, for each of Connect's clients.

    Raises:
        StopPipelineError: the client's certificate or its key cannot be read.
    """
    found = {own: client[name] for name, own in _NAMES.items() if name in client}
    if (authorities := client.get("ssl.ca.location")) is not None:
        found |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": authorities}
    if (certificate := client.get("ssl.certificate.location")) is not None:
        found |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": text_of(certificate, "KAFKA_SECURITY"),
            "ssl.keystore.key": text_of(client["ssl.key.location"], "KAFKA_SECURITY"),
        }
    if (mechanism := client.get("sasl.mechanism")) is not None:
        options = {own: client[name] for name, own in _LOGIN_OPTIONS.items() if name in client}
        if "ssl.truststore.location" in options:
            options["ssl.truststore.type"] = "PEM"
        said = "".join(f" {name}={_quoted(value)}" for name, value in options.items())
        found["sasl.jaas.config"] = f"{_PACKAGE}.{_MODULES[mechanism]} required{said};"
    if mechanism == "OAUTHBEARER":
        handler = "oauthbearer.OAuthBearerLoginCallbackHandler"
        found["sasl.login.callback.handler.class"] = f"{_PACKAGE}.{handler}"
    return "".join(
        f"{clients}{name}={properties_value(value)}\n"
        for clients in ("", "producer.", "consumer.", "admin.")
        for name, value in found.items()
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
