"""Web pages of the stack: addresses and logins."""

from collections.abc import Callable
from dataclasses import dataclass

from lakehouse.secrets import Secrets
from stack.airflow.server import USER as AIRFLOW_USER
from stack.paths import StackConfig
from stack.superset.server import USER as SUPERSET_USER


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page without login. `service` is the service that serves it."""

    name: str
    title: str
    service: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebUI(Page):
    """A page with a login."""

    user: str
    password: str


def _airflow(config: StackConfig, secrets: Secrets) -> WebUI:
    return WebUI(
        name="airflow",
        title="the hourly run: runs, tasks, metrics, logs",
        service="airflow",
        url=config.airflow.url,
        user=AIRFLOW_USER,
        password=secrets["airflow_admin"],
    )


def _superset(config: StackConfig, secrets: Secrets) -> WebUI:
    return WebUI(
        name="superset",
        title="charts, live and by period",
        service="superset",
        url=config.superset.url,
        user=SUPERSET_USER,
        password=secrets["superset_admin"],
    )


def _minio(config: StackConfig, secrets: Secrets) -> WebUI:
    return WebUI(
        name="minio",
        title="the lake's objects",
        service="minio",
        url=f"http://{config.minio.host}:{config.minio.console_port}",
        user="admin",
        password=secrets["minio_admin"],
    )


WEB_UIS: dict[str, Callable[[StackConfig, Secrets], WebUI]] = {
    "superset": _superset,
    "airflow": _airflow,
    "minio": _minio,
}
"""Constructors of pages with a login, by name. They need existing passwords."""


def _prometheus(config: StackConfig, _secrets: Secrets) -> Page:
    return Page(
        name="prometheus",
        title="alerts and metrics, if started with --monitoring",
        service="prometheus",
        url=f"{config.monitoring.url}/consoles/index.html",
    )


PAGES: dict[str, Callable[[StackConfig, Secrets], Page]] = {**WEB_UIS, "prometheus": _prometheus}
"""Constructors of all pages, by name."""
