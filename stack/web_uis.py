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


def _web_ui(name: str, title: str, url: str, user: str, secrets: Secrets) -> WebUI:
    password = secrets[f"{name}_admin"]
    return WebUI(name=name, title=title, service=name, url=url, user=user, password=password)


def _superset(config: StackConfig, secrets: Secrets) -> WebUI:
    title = "charts, live and by period"
    return _web_ui("superset", title, config.superset.url, SUPERSET_USER, secrets)


def _airflow(config: StackConfig, secrets: Secrets) -> WebUI:
    title = "the hourly run: runs, tasks, metrics, logs"
    return _web_ui("airflow", title, config.airflow.url, AIRFLOW_USER, secrets)


def _minio(config: StackConfig, secrets: Secrets) -> WebUI:
    url = f"http://{config.minio.host}:{config.minio.console_port}"
    return _web_ui("minio", "the lake's objects", url, "admin", secrets)


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
