"""Reconcile: proves, value by value, that every layer holds what the shop did, once."""

from batch.reconcile.report import Report, SnapshotReport, TableReport
from batch.reconcile.run import Places, reconcile, settle

__all__ = ["Places", "Report", "SnapshotReport", "TableReport", "reconcile", "settle"]
