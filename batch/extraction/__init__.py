"""Missed deletes: found by comparing bronze with the shop, and written to Kafka."""

from batch.extraction.limit import DeleteLimit
from batch.extraction.run import MissedDeletes, WrittenDelete, write_missed_deletes

__all__ = ["DeleteLimit", "MissedDeletes", "WrittenDelete", "write_missed_deletes"]
