"""Scope of maintenance: who writes a layer, its retention, and the versions still read."""

from collections.abc import Mapping

from batch.maintenance.needs import Need, gold_needs, warehouse_needs
from batch.maintenance.run import Limits, between_consolidations
from lakehouse.lake import Lake
from lakehouse.maintenance import COMPACT_COMMITS
from lakehouse.postgres import warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import (
    ConsolidationSettings,
    LandingSettings,
    MinioSettings,
    WarehouseSettings,
)


def limits_of_settings(
    secrets: Secrets, *, retention_hours: int | None = None, is_asked: bool = False
) -> dict[str, Limits]:
    """Return the limits by layer, from the environment's settings.

    Args:
        secrets: secrets of the users that write.
        retention_hours: replaces the retention in the settings.
        is_asked: also maintain bronze tables that are not overdue, which the lander normally does.
    """
    landing, minio = LandingSettings(), MinioSettings()
    dsn = warehouse_dsn(WarehouseSettings(), secrets, role="batch")
    refined = Limits(
        lake=Lake.of(minio, secrets, user="batch"),
        retention_hours=retention_hours or ConsolidationSettings().retention_hours,
        writing=lambda: between_consolidations(dsn),
    )
    bronze = Limits(
        lake=Lake.of(minio, secrets, user="lander"),
        retention_hours=retention_hours or landing.retention_hours,
        overdue_files=0 if is_asked else 2 * COMPACT_COMMITS,
    )
    return {"bronze": bronze, "silver": refined, "gold": refined}


def needs_of_readers(limits: Mapping[str, Limits], secrets: Secrets) -> list[Need]:
    """Return the needs of gold and the warehouse as readers of silver.

    Raises:
        PipelineError: they cannot be determined now.
    """
    dsn = warehouse_dsn(WarehouseSettings(), secrets, role="batch")
    return [*gold_needs(limits["gold"].lake), *warehouse_needs(dsn)]
