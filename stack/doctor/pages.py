"""Checks of Airflow and Superset."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lakehouse.settings import ROOT
from stack.airflow.client import AirflowClient
from stack.airflow.health import health
from stack.doctor.measurements import Measurements
from stack.doctor.model import Check
from stack.findings import Said, fine, wrong
from stack.superset.dashboards import Dashboards
from stack.superset.rest import logged_in
from stack.web_uis import WEB_UIS


def _parts(measurements: Measurements) -> Sequence[Said]:
    return diagnose_parts(health(measurements.config.airflow))


def diagnose_parts(parts: Mapping[str, str]) -> Sequence[Said]:
    """Diagnose whether scheduler, DAG processor and database are healthy."""
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
    """Return the ids of expected DAGs, which are the names of their files."""
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def diagnose_dags(
    wanted: Sequence[str], paused: Mapping[str, bool], errors: Mapping[str, str], url: str
) -> Sequence[Said]:
    """Diagnose whether each DAG was parsed and is active.

    Args:
        wanted: ids of expected DAGs.
        paused: whether each parsed DAG is paused, by id.
        errors: import errors by file.
        url: address of Airflow's web UI.
    """
    said = [
        wrong(f"{file} cannot be imported: {error}", "./pipeline logs airflow-dags")
        for file, error in errors.items()
    ]
    said += [
        wrong(f"{dag} is not known to Airflow", "./pipeline logs airflow-dags")
        for dag in wanted
        if dag not in paused
    ]
    said += [
        wrong(f"{dag} is paused and does not run", f"unpause it on {url}/dags/{dag}")
        for dag in wanted
        if paused.get(dag)
    ]
    return said or [fine(f"{', '.join(wanted)}: all active")]


def _login(measurements: Measurements) -> Sequence[Said]:
    console = WEB_UIS["superset"](measurements.config, measurements.secrets)
    with logged_in(console.url, console.user, console.password):
        return [fine(f"login of {console.user} works")]


def _dashboards(measurements: Measurements) -> Sequence[Said]:
    return diagnose_dashboards(
        is_applied=Dashboards(measurements.config, measurements.secrets).is_applied()
    )


def diagnose_dashboards(*, is_applied: bool) -> Sequence[Said]:
    """Diagnose whether the current files in `dashboards/` were imported into Superset."""
    if is_applied:
        return [fine("as in dashboards/")]
    return [wrong("the files in dashboards/ have changed since", "./pipeline dashboards apply")]


CHECKS: Sequence[Check] = [
    Check(area="airflow", title="parts", needs=("airflow",), run=_parts),
    Check(area="airflow", title="DAGs", needs=("airflow",), run=_dags),
    Check(area="superset", title="log-in", needs=("superset", "warehouse"), run=_login),
    Check(area="superset", title="dashboards", needs=("superset", "warehouse"), run=_dashboards),
]
