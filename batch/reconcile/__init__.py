"""Reconcile: proves, value by value, that bronze holds every change of the shop, once."""

from batch.reconcile.report import Report, SnapshotReport, TableReport
from batch.reconcile.run import Places, reconcile

__all__ = ["Places", "Report", "SnapshotReport", "TableReport", "reconcile"]
