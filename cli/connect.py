"""`connect`: registration and health of the Debezium connector."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Format, FormatOption, console, err_console, print_json, print_rows

if TYPE_CHECKING:
    from connectors.health import Health
    from connectors.masks import Masks

_STOP_SECONDS = 90.0

app = typer.Typer()
_connect = typer.Typer(
    help="Register the Debezium connector, restart it, show its health.", no_args_is_help=True
)
app.add_typer(_connect, name="connect", rich_help_panel="Run")


@_connect.command()
def apply(
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Record changes that the slot has lost in bronze/_loss_ledger, then resume.",
        ),
    ] = False,
) -> None:
    """Register the connector or update its configuration, and wait until it runs.

    Idempotent. A connector that failed or was stopped is started again. `up` does
    this, too. A larger CONNECT_MAX_ROW_MB is applied to existing topics at once.
    After --accept-loss, run ./pipeline extract --full to resolve the loss.

    Masks in contract files apply from here on.

    Example: ./pipeline connect apply --accept-loss
    """
    from connectors.mapping import require_mapping_fits
    from connectors.masks import read_masks
    from connectors.partitions import snapshot_config
    from connectors.registration import Content
    from connectors.registration import apply as register
    from lakehouse import connections
    from lakehouse.settings import (
        ConnectSettings,
        ContractSettings,
        KafkaSettings,
        OltpSettings,
        StackSettings,
    )

    connect = ConnectSettings()
    require_mapping_fits(connections.shop("monitor"))
    asked = read_masks(ContractSettings().dir, connections.shop("monitor"))
    for told in asked.unknown:
        err_console.print(told, markup=False, style="yellow", soft_wrap=True)
    if accept_loss:
        _accept_loss()
    with err_console.status("applying"):
        stack = StackSettings()
        applied = register(
            connect,
            stack.seen_by_services(OltpSettings()),
            KafkaSettings(),
            stack.connect_secrets_path,
            Content(
                snapshot=snapshot_config(connections.shop("monitor"), connect), masks=asked.masks
            ),
        )
    what = "was updated" if applied.is_changed else "is up to date"
    console.print(f"Connector {connect.connector_name} {what} and runs.", markup=False)
    _tell_of_masks(applied.masks_before, asked.masks)


@_connect.command()
def status(output: FormatOption = Format.TABLE) -> None:
    """Show the state of the connector and its task, the lag of the slot, and any problem.

    Exit status 1 when changes do not flow.

    Example: ./pipeline connect status --format json
    """
    from connectors.health import check
    from lakehouse.connections import secrets as generated
    from lakehouse.postgres import oltp_dsn
    from lakehouse.settings import ConnectSettings, OltpSettings

    secrets = generated()
    health = check(ConnectSettings(), oltp_dsn(OltpSettings(), secrets, role="monitor"))
    if output is Format.JSON:
        print_json(health.to_json())
    else:
        _show(health)
    if not health.is_healthy:
        raise typer.Exit(1)


@_connect.command("keep", hidden=True)  # its name until version 0.1
@_connect.command("auto-restart")
def auto_restart() -> None:
    """Restart the connector whenever it fails, with back-off. `up` runs one already.

    It does not restart a connector that needs manual action, lost changes above
    all, nor one that was stopped or paused on purpose. Runs until stopped.

    Example: ./pipeline connect auto-restart
    """
    from threading import Event

    from connectors.restarts import keep_running
    from lakehouse.settings import ConnectSettings
    from lakehouse.signals import stop_on_signals

    stop = Event()
    stop_on_signals(stop.set)
    keep_running(ConnectSettings(), stop)


@_connect.command()
def resnapshot(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Drop the slot and take a new initial snapshot of all tables.

    Use it after changes were lost between the shop and Kafka. Debezium writes
    every row to Kafka again before it streams new changes. Changes that only the
    old slot held are lost and recorded in bronze/_loss_ledger. ./pipeline extract
    --full, in contrast, reads while changes stream and also finds rows that were
    deleted in the meantime.

    Example: ./pipeline connect resnapshot --yes
    """
    from connectors.partitions import snapshot_config
    from connectors.registration import resnapshot as read_again
    from consumers.bronze.ledger import SlotLosses
    from lakehouse.connections import secrets as generated
    from lakehouse.postgres import oltp_dsn
    from lakehouse.settings import ConnectSettings, OltpSettings

    connect = ConnectSettings()
    if not yes:
        question = f"Drop slot {connect.slot_name} and take a new snapshot of all tables?"
        typer.confirm(question, abort=True, err=True)
    secrets = generated()
    losses = SlotLosses.of_settings(secrets)
    with err_console.status("starting the snapshot"):
        read_again(
            connect,
            oltp_dsn(OltpSettings(), secrets, role="debezium"),
            snapshot_config(oltp_dsn(OltpSettings(), secrets, role="monitor"), connect),
            record=lambda gap: losses.record(gap.words),
        )
    told = (
        f"Connector {connect.connector_name} takes a new snapshot of all tables. When it has "
        "finished, find missed deletes with ./pipeline extract --full"
    )
    console.print(told, markup=False, soft_wrap=True)


def _tell_of_masks(before: "Masks | None", now: "Masks") -> None:
    """Say what to do about what was captured under other masks."""
    from connectors.masks import differing

    if before is None:
        return
    if changed := differing(before, now):
        told = (
            f"Masks of {', '.join(changed)} apply to changes from now on. What was captured before "
            "stays in Kafka and the lake. Read current rows again: ./pipeline extract "
            f"{' '.join(changed)} --full. What keeps old values: docs/CONTRACTS.md, Masks."
        )
        console.print(told, markup=False, style="yellow", soft_wrap=True)


@_connect.command()
def partitions(
    source: Annotated[
        str,
        typer.Option(
            metavar="URL", help="The login of an administrator, for a shop that others run."
        ),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Apply CONNECT_PARTITIONS to a shop that is captured already.

    With another value, the tables that are captured from now on begin empty, and
    the command names them: ./pipeline extract TABLE --full reads their rows. The
    tables that were captured until now stay in bronze and silver as they are.

    Example: ./pipeline connect partitions --yes
    """
    from connectors.partitions import switch
    from lakehouse.connections import secrets as generated
    from lakehouse.errors import WrongArgumentError
    from lakehouse.postgres import oltp_dsn
    from lakehouse.settings import ConnectSettings, OltpSettings
    from stack.elsewhere import is_elsewhere
    from stack.paths import StackConfig

    connect = ConnectSettings()
    if not source and is_elsewhere("oltp", StackConfig()):
        problem = f"The shop at {OltpSettings().host} has no administrator of ours"
        action = (
            "Give the login of one who owns the publication: ./pipeline connect partitions "
            "--source postgresql://…; password: PGPASSWORD."
        )
        raise WrongArgumentError(problem, action)
    if not yes:
        question = f"Capture partitioned tables with CONNECT_PARTITIONS={connect.partitions}?"
        typer.confirm(question, abort=True, err=True)
    done = switch(source or oltp_dsn(OltpSettings(), generated(), role="admin"), connect)
    told = f"Partitions are captured with {connect.partitions}"
    if done.begun or done.keyless:
        told = (
            f"{told}. Captured from now on: {', '.join((*done.begun, *done.keyless))}. Not any "
            f"more: {', '.join(done.ended) or 'no table'}. Next: ./pipeline connect apply"
        )
    if done.begun:
        told += f"; then ./pipeline extract {' '.join(done.begun)} --full"
    if done.keyless:
        told += f". Rows of {', '.join(done.keyless)}: ./pipeline connect resnapshot"
    console.print(told, markup=False, soft_wrap=True)


def _accept_loss() -> None:
    from connectors.rest import ConnectApi
    from connectors.wal_gap import accept_wal_gap
    from consumers.bronze.ledger import SlotLosses
    from lakehouse.connections import secrets as generated
    from lakehouse.postgres import oltp_dsn
    from lakehouse.settings import ConnectSettings, OltpSettings

    connect, oltp = ConnectSettings(), OltpSettings()
    secrets = generated()
    losses = SlotLosses.of_settings(secrets)
    with (
        err_console.status("looking for lost changes"),
        ConnectApi.of(connect) as api,
    ):
        gap = accept_wal_gap(
            api,
            monitor_dsn=oltp_dsn(oltp, secrets, role="monitor"),
            replication_dsn=oltp_dsn(oltp, secrets, role="debezium"),
            slot_name=connect.slot_name,
            record=lambda found: losses.record(found.words),
            timeout_seconds=_STOP_SECONDS,
        )
    if gap is None:
        console.print("Nothing is lost.")
        return
    told = (
        f"Lost: {gap.words}. Recorded in bronze/_loss_ledger. Resolve it: ./pipeline extract --full"
    )
    console.print(told, markup=False, style="bold red", soft_wrap=True)


def _show(health: "Health") -> None:
    slot = health.slot
    rows: list[dict[str, object]] = [
        {"what": "connector", "is": health.state and health.state.connector},
        {"what": "task", "is": health.state and health.state.task},
        {"what": "seconds since the last change", "is": health.lag_seconds},
        {"what": "slot", "is": health.slot_name},
        {"what": "slot is active", "is": slot and slot.is_active},
        {"what": "confirmed position (LSN)", "is": slot and slot.confirmed_position},
        {"what": "unconfirmed WAL, bytes", "is": slot and slot.lag_bytes},
        {"what": "WAL retained by the slot, bytes", "is": slot and slot.held_bytes},
        {"what": "share of the WAL limit", "is": _percent(slot.held_share if slot else None)},
        {"what": "WAL status", "is": slot and slot.wal_status},
    ]
    print_rows(rows, title=f"Connector {health.connector}")
    for problem in health.problems:
        console.print(problem, markup=False, style="bold red", soft_wrap=True)


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"
