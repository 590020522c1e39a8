"""Reconcile: proves, value by value, that every layer holds what the shop did, once."""

from batch.reconcile.report import Report, SnapshotReport, TableReport
from batch.reconcile.run import CaughtUp, ReconcileConfig, caught_up, reconcile, settle

__all__ = [
    "CaughtUp",
    "ReconcileConfig",
    "Report",
    "SnapshotReport",
    "TableReport",
    "caught_up",
    "reconcile",
    "settle",
]
