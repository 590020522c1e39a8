"""Checks of services and their ports."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lakehouse.errors import PipelineError, Problem
from stack.catalog import AIRFLOW, SHOP
from stack.control import ServiceStatus
from stack.doctor.measurements import Measurements
from stack.doctor.model import Check
from stack.findings import Said, fine, note, wrong, wrong_as_told
from stack.memory import processes
from stack.net import holder_of, listeners
from stack.preflight import port_problems
from stack.program import Service

_STOPPED = "STOPPED"
_STARTING = "STARTING"


def _services(measurements: Measurements) -> Sequence[Said]:
    try:
        return diagnose_services(measurements.services)
    except PipelineError as error:
        return [wrong_as_told(error.told)]


def diagnose_services(found: Mapping[str, ServiceStatus]) -> Sequence[Said]:
    """Diagnose whether required services answer. Airflow and Superset are optional."""
    if all(_is_off(one) or one.is_elsewhere for one in found.values()):
        away = [_told(name, one.problem) for name, one in found.items() if one.problem]
        return [*away, wrong("nothing runs", "./pipeline up")]
    required = {*SHOP, *(AIRFLOW if any(not _is_off(found[n]) for n in AIRFLOW) else ())}
    said: list[Said] = []
    left_out = []
    for name, one in found.items():
        if one.is_ready:
            continue
        if one.problem:
            said.append(_told(name, one.problem))
        elif _is_off(one) and name not in required:
            left_out.append(name)
        elif _is_off(one):
            said.append(wrong(f"{name} ({one.title}) is stopped", f"./pipeline up {name}"))
        elif one.state == _STARTING:
            said.append(note(f"{name} ({one.title}) is starting", f"./pipeline logs {name}"))
        else:
            words = f"{name} ({one.title}) does not answer, its state is {one.state.lower()}"
            remedy = f"see ./pipeline logs {name}; then ./pipeline up {name}"
            said.append(wrong(words, remedy))
    ready = sum(one.is_ready for one in found.values())
    without = f", not started: {', '.join(left_out)}" if left_out else ""
    others = [name for name, one in found.items() if one.is_elsewhere]
    where = f", {', '.join(others)} elsewhere" if others else ""
    return said or [fine(f"{ready} run and answer{where}{without}")]


def _told(name: str, problem: Problem) -> Said:
    return wrong(f"{name}: {problem.problem}", problem.action)


def _is_off(one: ServiceStatus) -> bool:
    return not one.is_ready and one.state == _STOPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMeasurement:
    """A port: its service, whether that runs, and the problem, if any."""

    service: str
    number: int
    is_running: bool
    problem: Problem | None


def _ports(measurements: Measurements) -> Sequence[Said]:
    states = measurements.services
    found = []
    for name, service in measurements.catalog.items():
        pid, is_ready = states[name].pid, states[name].is_ready
        is_running = pid is not None or is_ready
        if states[name].is_elsewhere:
            continue
        # A service that answers has its ports.
        problem = None if is_ready else _stranger(service, pid) if pid else _refusal(service)
        found += [
            PortMeasurement(
                service=name, number=port.number, is_running=is_running, problem=problem
            )
            for port in service.ports
        ]  # fmt: skip
    return diagnose_ports(found)


def diagnose_ports(found: Sequence[PortMeasurement]) -> Sequence[Said]:
    """Diagnose whether each port is used by its service or free."""
    problems = dict.fromkeys(one.problem for one in found if one.problem)
    if problems:
        return [wrong_as_told(problem) for problem in problems]
    ours = sum(one.is_running for one in found)
    return [fine(f"{ours} are used by their services, {len(found) - ours} are free")]


def _refusal(service: Service) -> Problem | None:
    return next(port_problems([service]), None)


def _stranger(service: Service, pid: int) -> Problem | None:
    """Return the problem if another process listens on the port of a running service."""
    tree = {process.pid for process in processes(pid)}
    for port in service.ports:
        if not is_held_by(tree, listeners(port.number)):
            return Problem(
                f"{service.name}: port {port.number} is in use by {holder_of(port.number)}",
                f"Stop that, or set {port.variable} to a free port; then ./pipeline up",
            )
    return None


def is_held_by(tree: Collection[int], found: Collection[int | None]) -> bool:
    """Return whether a process of this tree listens, or no process is visible."""
    known = {pid for pid in found if pid is not None}
    return not known or bool(known & set(tree))


CHECKS: Sequence[Check] = [
    Check(area="services", title="services", run=_services),
    Check(area="services", title="ports", run=_ports),
]
