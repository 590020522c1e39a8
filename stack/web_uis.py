"""Web pages of the stack: addresses and logins."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from lakehouse.secrets import Secrets
from stack.airflow.server import USER as AIRFLOW_USER
from stack.paths import StackConfig
from stack.superset.server import USER as SUPERSET_USER
from stack.superset.server import VIEWER


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


def _viewer(config: StackConfig, secrets: Secrets) -> WebUI:
    return WebUI(
        name="viewer",
        title="the same charts, read-only",
        service="superset",
        url=config.superset.url,
        user=VIEWER,
        password=secrets["superset_viewer"],
    )


def _screen(name: str, title: str, slug: str) -> Callable[[StackConfig, Secrets], WebUI]:
    """Return the constructor of a dashboard without menus that refreshes, for the viewer."""

    def page(config: StackConfig, secrets: Secrets) -> WebUI:
        # Of Superset's stand-alone modes only the first refreshes.
        url = f"{config.superset.url}/superset/dashboard/{slug}/?standalone=1"
        return replace(_viewer(config, secrets), name=name, title=title, url=url)

    return page


def _superset(config: StackConfig, secrets: Secrets) -> WebUI:
    title = "charts, live and by period"
    return _web_ui("superset", title, config.superset.url, SUPERSET_USER, secrets)


def _airflow(config: StackConfig, secrets: Secrets) -> WebUI:
    title = "the hourly run: runs, tasks, metrics, logs"
    return _web_ui("airflow", title, config.airflow.url, AIRFLOW_USER, secrets)


def _minio(config: StackConfig, secrets: Secrets) -> Page:
    url = f"http://{config.minio.host}:{config.minio.console_port}"
    if config.store == "seaweedfs":
        return Page(name="minio", title="SeaweedFS' volumes", service="minio", url=url)
    return _web_ui("minio", "the lake's objects", url, "admin", secrets)


WEB_UIS: dict[str, Callable[[StackConfig, Secrets], WebUI]] = {
    "superset": _superset,
    "viewer": _viewer,
    "wall": _screen("wall", "live, for a screen on a wall", "live-shop"),
    "phone": _screen("phone", "live, in one column for a phone", "live-phone"),
    "airflow": _airflow,
}
"""Constructors of pages with a login, by name. They need existing passwords."""


def _prometheus(config: StackConfig, _secrets: Secrets) -> Page:
    return Page(
        name="prometheus",
        title="alerts and metrics, if started with --monitoring",
        service="prometheus",
        url=f"{config.monitoring.url}/consoles/index.html",
    )


PAGES: dict[str, Callable[[StackConfig, Secrets], Page]] = {
    **WEB_UIS,
    "minio": _minio,
    "prometheus": _prometheus,
}
"""Constructors of all pages, by name."""
