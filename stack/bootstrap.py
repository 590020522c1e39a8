"""Set-up of services that answer: roles, schemas, buckets. Idempotent."""

from collections.abc import Callable
from dataclasses import dataclass

from batch.warehouse.migrate import migrate
from batch.warehouse.shop import describe_shop
from connectors.mapping import require_mapping_fits
from connectors.masks import read_masks
from connectors.partitions import snapshot_config
from connectors.registration import Content, apply
from connectors.source import prepare
from lakehouse.contracts.mapping import mapping_path
from lakehouse.postgres import oltp_dsn, warehouse_dsn
from lakehouse.secrets import Secrets
from producers.schema import apply_schema
from stack.minio.buckets import prepare_buckets
from stack.paths import StackConfig
from stack.postgres.roles import prepare_oltp, prepare_warehouse
from stack.superset.dashboards import Dashboards


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step after `service` is ready."""

    service: str
    name: str
    do: Callable[[], object]


def steps(config: StackConfig, secrets: Secrets) -> tuple[Step, ...]:
    """Return all steps; those of one service in order."""

    def schema() -> None:
        dsn = oltp_dsn(config.oltp, secrets, role="admin")
        if config.example is not None:
            apply_schema(dsn, config.example / "schema.sql")
        elif not mapping_path().is_file():
            apply_schema(dsn)
        # Before the warehouse, which begins after this, gets tables whose keys follow from it.
        require_mapping_fits(dsn)

    def capture() -> None:
        prepare(oltp_dsn(config.oltp, secrets, role="admin"), config.connect)

    def warehouse_schema() -> None:
        dsn = warehouse_dsn(config.warehouse, secrets, role="batch")
        migrate(dsn)
        describe_shop(dsn, config.shop)

    def buckets() -> None:
        prepare_buckets(config.minio, secrets, with_users=config.store == "minio")

    def connector() -> None:
        secrets_file = config.stack.connect_secrets_path
        oltp = config.stack.seen_by_services(config.oltp)
        dsn = oltp_dsn(config.oltp, secrets, role="monitor")
        require_mapping_fits(dsn)
        content = Content(
            snapshot=snapshot_config(dsn, config.connect),
            masks=read_masks(config.contracts.dir, dsn).masks,
        )
        # Short waits that are repeated, so that they can be interrupted.
        apply(config.connect, oltp, config.kafka, secrets_file, content, timeout_seconds=5)

    return (
        Step(service="oltp", name="roles", do=lambda: prepare_oltp(config.oltp, secrets)),
        Step(service="oltp", name="schema", do=schema),
        Step(service="oltp", name="change capture", do=capture),
        Step(
            service="warehouse",
            name="database",
            do=lambda: prepare_warehouse(config.warehouse, secrets),
        ),
        Step(
            service="warehouse",
            name="schema",
            do=warehouse_schema,
        ),
        Step(service="minio", name="buckets", do=buckets),
        Step(
            service="superset",
            name="dashboards",
            do=lambda: Dashboards(config, secrets).apply_if_changed(),
        ),
        Step(service="connect", name="connector", do=connector),
    )
