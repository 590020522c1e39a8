"""Reconciliation: checks, value by value, that every layer has all changes exactly once."""

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
