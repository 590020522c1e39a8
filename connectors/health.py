"""Health of the connector: its state in Connect, and its slot in the shop's database."""

from collections.abc import Iterable
from dataclasses import dataclass

from connectors.plain_words import HEAL, STUCK, explain, no_publication
from connectors.rest import ConnectApi, ConnectorState, Stored
from connectors.slot import Slot, read_slot
from connectors.wal_gap import find_wal_gap
from lakehouse.errors import PipelineError, Problem
from lakehouse.settings import ConnectSettings

_RESTART_SECONDS = 15.0
"""The slot is inactive for some seconds during a restart of the connector."""
_STUCK_SECONDS = 30.0
"""Longer than a slot follows a publication that was made before it."""
_MUCH = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """State of the connector, its task and its slot. None where it is not known.

    Attributes:
        connector: name of the connector.
        state: its state in Connect; None if there is no such connector.
        slot_name: name of the replication slot.
        slot: the slot; None if there is none, or the database is unavailable.
        lag_seconds: age of the last change whose transaction Connect has committed to Kafka. While
            the shop is idle, heartbeats keep it at about a second.
        problems: each problem with the command that fixes it, the most severe first.
    """

    connector: str
    state: ConnectorState | None
    slot_name: str
    slot: Slot | None
    lag_seconds: float | None
    problems: tuple[Problem, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether changes flow: no problem was found."""
        return not self.problems

    @property
    def is_hopeless(self) -> bool:
        """Whether manual action is needed; auto-restart cannot help."""
        is_stuck = self.state is not None and self.state.waits_for_person
        return is_stuck or (self.slot is not None and self.slot.is_lost)

    def to_json(self) -> dict[str, object]:
        """Return the output of `./pipeline connect status --format json`."""
        state, slot = self.state, self.slot
        return {
            "connector": self.connector,
            "is_healthy": self.is_healthy,
            "connector_state": state and state.connector,
            "task_state": state and state.task,
            "problems": self.problems,
            "trace": state and state.trace,
            "slot": self.slot_name,
            "is_slot_active": slot and slot.is_active,
            "wal_status": slot and slot.wal_status,
            "invalidation_reason": slot and slot.invalidation_reason,
            "confirmed_position": slot and slot.confirmed_position,
            "slot_lag_bytes": slot and slot.lag_bytes,
            "slot_lag_seconds": self.lag_seconds,
            "wal_held_bytes": slot and slot.held_bytes,
            "wal_limit_bytes": slot and slot.limit_bytes,
            "wal_held_share": slot and slot.held_share,
        }


def check(settings: ConnectSettings, monitor_dsn: str) -> Health:
    """Query Connect and the database. A service that does not answer is reported as a problem.

    Args:
        settings: where Connect is; names of connector and slot.
        monitor_dsn: a role that may read `pg_replication_slots`.
    """
    problems: list[Problem] = []
    slot: Slot | None = None
    told: Problem | None = None
    # Read before Connect's offset: otherwise an active slot could advance past that meanwhile.
    try:
        slot = read_slot(monitor_dsn, settings.slot_name)
    except PipelineError as error:
        told = error.told
    state, stored = _ask_connect(settings, problems)
    position = None if stored is None else stored.position
    handed_on_at = None if stored is None else stored.handed_on_at
    # Commits are dated by the shop's clock, so their age is measured by the same clock.
    lag = (slot.asked_at - handed_on_at).total_seconds() if slot and handed_on_at else None
    problems[:0] = [told] if told else slot_problems(settings.slot_name, slot, position, lag)
    return Health(
        connector=settings.connector_name,
        state=state,
        slot_name=settings.slot_name,
        slot=slot,
        lag_seconds=None if lag is None else max(0.0, lag),
        problems=tuple(problems),
    )


def _ask_connect(
    settings: ConnectSettings, problems: list[Problem]
) -> tuple[ConnectorState | None, Stored | None]:
    try:
        with ConnectApi.of(settings) as api:
            state = api.state()
            problems += state_problems(settings.connector_name, state)
            return state, api.stored() if state else None
    except PipelineError as error:
        problems.append(error.told)
        return None, None


def in_sentences(problems: Iterable[Problem]) -> str:
    """Return all problems as one text, to stand within a message."""
    return " ".join(one if one.action else f"{one.problem}." for one in problems)


def state_problems(name: str, state: ConnectorState | None) -> list[Problem]:
    """Return the problems of the connector and its task."""
    if state is None:
        words = f"Connector {name} is not registered"
        return [Problem(words, "Register it: ./pipeline connect apply")]
    if state.is_failed:
        return [explain(state.trace or "")]
    if state.is_running:
        return []
    return [
        Problem(
            f"Connector {name} is {state.connector}, its task {state.task or 'not started'}",
            "If this persists: ./pipeline logs connect, ./pipeline connect apply.",
        )
    ]


def slot_problems(
    name: str, slot: Slot | None, position: int | None, lag_seconds: float | None = None
) -> list[Problem]:
    """Return the problems of the slot, compared with the position that Connect has stored."""
    if slot is None:
        words = f"Replication slot {name} does not exist: changes are not retained"
        is_needed = position is not None
        return [
            Problem(f"{words}, and Connect needs them" if is_needed else words, HEAL * is_needed)
        ]
    if (missed := _missed(name, slot, position)) is not None:
        return [missed]
    if slot.needs_publication and slot.precedes_publication and (lag_seconds or 0) > _STUCK_SECONDS:
        # Connect tries again for ever, and says that it runs.
        return [Problem(STUCK, HEAL)]
    if not slot.is_active and (slot.inactive_seconds or 0) > _RESTART_SECONDS:
        return [
            Problem(
                f"Slot {name} has been inactive for {slot.inactive_seconds:.0f} s: Connect does "
                "not reach the database",
                "See ./pipeline logs connect",
            )
        ]
    if slot.held_share is not None and slot.held_share > _MUCH:
        return [
            Problem(
                f"Slot {name} retains {slot.held_share:.0%} of its WAL limit; above the limit it "
                "is lost",
                "Is Connect stuck? ./pipeline logs connect. Or raise STACK_SLOT_WAL_KEEP_MB.",
            )
        ]
    return []


def _missed(name: str, slot: Slot, position: int | None) -> Problem | None:
    """Return why changes do not reach Kafka, or never will; None if they do."""
    if slot.is_lost:
        reason = f" ({slot.invalidation_reason})" if slot.invalidation_reason else ""
        lost = f"Postgres says that replication slot {name} can no longer access replication slot"
        known = explain(lost)
        return Problem(f"Slot {name} is lost{reason}. {known.problem}", known.action)
    if not slot.has_publication:
        return no_publication(is_stuck=slot.needs_publication)
    gap = find_wal_gap(position, slot)
    if gap is not None and not slot.is_active:
        words = f"Slot {name} was dropped and recreated: {gap.words} are not in Kafka"
        return Problem(words, HEAL)
    return None
