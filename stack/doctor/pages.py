"""Airflow and Superset."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lakehouse.settings import ROOT
from stack.airflow.client import AirflowClient
from stack.airflow.health import health
from stack.doctor.measurements import Measurements
from stack.doctor.model import Check, Said, fine, wrong
from stack.superset.dashboards import Dashboards
from stack.superset.rest import logged_in
from stack.web_uis import WEB_UIS


def checks() -> Sequence[Check]:
    """Of these areas."""
    airflow, superset = ("airflow",), ("superset", "warehouse")
    return [
        Check(area="airflow", title="parts", needs=airflow, run=_parts),
        Check(area="airflow", title="DAGs", needs=airflow, run=_dags),
        Check(area="superset", title="log-in", needs=superset, run=_login),
        Check(area="superset", title="dashboards", needs=superset, run=_dashboards),
    ]


def _parts(measurements: Measurements) -> Sequence[Said]:
    return diagnose_parts(health(measurements.config.airflow))


def diagnose_parts(parts: Mapping[str, str]) -> Sequence[Said]:
    """Whether scheduler, reader of DAGs and database are well."""
    services = {"scheduler": "airflow-scheduler", "dag_processor": "airflow-dags"}
    needed = {**services, "metadatabase": "airflow"}
    ill = [part for part in needed if parts.get(part) != "healthy"]
    return [
        wrong(f"its {part} is {parts.get(part, 'not there')}", f"./pipeline logs {needed[part]}")
        for part in ill
    ] or [fine(f"{', '.join(needed)} are healthy")]


def _dags(measurements: Measurements) -> Sequence[Said]:
    console = WEB_UIS["airflow"](measurements.config, measurements.secrets)
    settings = measurements.config.airflow
    with AirflowClient(settings, user=console.user, password=console.password) as client:
        client.log_in()
        return diagnose_dags(_in_checkout(), client.dags(), client.import_errors(), settings.url)


def _in_checkout(folder: Path = ROOT / "dags") -> list[str]:
    """Ids of the DAGs that there have to be: a file each, by its name."""
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def diagnose_dags(
    wanted: Sequence[str], paused: Mapping[str, bool], errors: Mapping[str, str], url: str
) -> Sequence[Said]:
    """Whether each DAG was read, and is active.

    Args:
        wanted: ids.
        paused: whether it is, by id, of those that were read.
        errors: by file that could not be read.
        url: of Airflow's pages.
    """
    said = [
        wrong(f"{file} cannot be read: {error}", "./pipeline logs airflow-dags")
        for file, error in errors.items()
    ]
    said += [
        wrong(f"{dag} is not known to Airflow", "./pipeline logs airflow-dags")
        for dag in wanted
        if dag not in paused
    ]
    said += [
        wrong(f"{dag} is paused: it will not run", f"resume it on {url}/dags/{dag}")
        for dag in wanted
        if paused.get(dag)
    ]
    return said or [fine(f"{', '.join(wanted)}: all active")]


def _login(measurements: Measurements) -> Sequence[Said]:
    console = WEB_UIS["superset"](measurements.config, measurements.secrets)
    with logged_in(console.url, console.user, console.password):
        return [fine(f"lets {console.user} in")]


def _dashboards(measurements: Measurements) -> Sequence[Said]:
    return diagnose_dashboards(
        is_applied=Dashboards(measurements.config, measurements.secrets).is_applied()
    )


def diagnose_dashboards(*, is_applied: bool) -> Sequence[Said]:
    """Whether Superset was given the files in `dashboards/` as they are."""
    if is_applied:
        return [fine("as in dashboards/")]
    return [wrong("the files in dashboards/ have changed since", "./pipeline dashboards apply")]
