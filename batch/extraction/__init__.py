"""Extractions, and missed deletes: found by comparing bronze with the shop, written to Kafka."""

from batch.extraction.limit import DeleteLimit
from batch.extraction.run import Extracted, extract, requested
from batch.extraction.search import MissedDeletes

__all__ = ["DeleteLimit", "Extracted", "MissedDeletes", "extract", "requested"]
