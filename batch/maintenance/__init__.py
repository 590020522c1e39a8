"""Maintenance of the lake's tables: compaction, checkpoints and vacuum."""

from batch.maintenance.needs import Need, gold_needs, warehouse_needs
from batch.maintenance.run import Limits, between_consolidations, maintain_tables
from batch.maintenance.scope import limits_of_settings, needs_of_readers
from batch.maintenance.table import Maintenance

__all__ = [
    "Limits",
    "Maintenance",
    "Need",
    "between_consolidations",
    "gold_needs",
    "limits_of_settings",
    "maintain_tables",
    "needs_of_readers",
    "warehouse_needs",
]
