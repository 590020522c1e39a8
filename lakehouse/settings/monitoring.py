"""Settings of monitoring: Prometheus, addresses of metrics, limits of alerts."""

from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import Settings, host_setting, port_setting
from lakehouse.variables import Host, WebAddress, address, setting

_ALERT_TOO_OFTEN = "When the alert comes too often or too late."


_METRICS_PORTS = {
    "statsd-exporter": 2,
    "kafka": 4,
    "connect": 5,
    "lander": 8,
    "live": 9,
    "exporter": 10,
}
"""Services that serve metrics, each at so many ports above MONITORING_BASE_PORT."""


class AlertSettings(Settings):
    """Notifications of runs that fail or are late."""

    model_config = SettingsConfigDict(env_prefix="ALERT_")
    webhook_url: WebAddress | None = setting(
        None,
        "Gets a POST with a JSON document when a run of Airflow fails or is late.",
        change="When alerts are wanted.",
        shown="no alerts",
    )
    late_seconds: int = setting(
        1800,
        "Time after its turn from which a run is late.",
        change="When hourly runs take longer.",
        gt=0,
    )


class MonitoringSettings(Settings):
    """Prometheus, what feeds it, and the limits of its alerts. Optional."""

    model_config = SettingsConfigDict(env_prefix="MONITORING_")
    host: Host = host_setting("Prometheus and of the StatsD exporter")
    port: int = port_setting(9090, "Prometheus")
    metrics_host: Host = setting(
        "127.0.0.1",
        "Address at which lander, live consumer and exporter serve metrics.",
        change="When Prometheus runs on another machine.",
    )
    base_port: int = setting(
        9100,
        "First of 26 ports for metrics. Above it: StatsD exporter 2, broker 4, Kafka Connect 5, "
        "lander 8, live consumer 9, exporter 10; Airflow sends to 25, by UDP.",
        change="When another program on this machine has one of the ports.",
        gt=0,
        le=65510,
    )
    scrape_seconds: int = setting(
        15,
        "Time between two scrapes, between two evaluations of alerts, and between two "
        "measurements of the exporter; it reads the lake every fourth time.",
        change="When alerts must come sooner, or metrics cost too much. In Docker it is fixed.",
        ge=1,
    )
    retention_days: int = setting(
        15,
        "How long Prometheus keeps metrics, of at most 1 GB.",
        change="When you compare longer periods.",
        ge=1,
    )
    lag_offsets: int = setting(
        50_000,
        "Alerts when bronze lacks more offsets of a table for minutes.",
        change=_ALERT_TOO_OFTEN,
        ge=0,
    )
    live_seconds: float = setting(
        60, "Alerts when live charts are further behind.", change=_ALERT_TOO_OFTEN, gt=0
    )
    slot_share: float = setting(
        0.5,
        "Alerts when the slot holds back more than this share of max_slot_wal_keep_size.",
        change=_ALERT_TOO_OFTEN,
        gt=0,
        le=1,
    )
    quarantined: int = setting(
        500,
        "Alerts when more changes of a table are quarantined.",
        change=_ALERT_TOO_OFTEN,
        unit="changes per hour",
        ge=0,
    )
    late_seconds: float = setting(
        7200,
        "Alerts when the last consolidation that succeeded is older.",
        change=_ALERT_TOO_OFTEN,
        gt=0,
    )
    disk_share: float = setting(
        0.1,
        "Alerts when less of the data's disk is free.",
        change=_ALERT_TOO_OFTEN,
        ge=0,
        le=1,
    )

    @property
    def url(self) -> str:
        """Return the base address of Prometheus."""
        return f"http://{address(self.host, self.port)}"

    def metrics_port(self, service: str) -> int:
        """Return the port at which a service serves metrics."""
        return self.base_port + _METRICS_PORTS[service]

    def metrics_address(self, service: str, port: int | None = None) -> tuple[str, int]:
        """Return host and port of the metrics of one of our programs; `port` takes precedence."""
        return self.metrics_host, self.metrics_port(service) if port is None else port

    @property
    def statsd_port(self) -> int:
        """Return the UDP port of the StatsD exporter, to which Airflow sends."""
        return self.base_port + 25
