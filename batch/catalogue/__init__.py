"""Catalogue of the tables in each layer, and their metrics."""

from batch.catalogue.behind import (
    LayerBehind,
    bronze_behind,
    in_a_sentence,
    landed_behind,
    layers_behind,
)
from batch.catalogue.lake import LakeReader, lake_metrics, lake_tables
from batch.catalogue.metrics import Behind, LakeTable, TableMetrics, Unit
from batch.catalogue.warehouse import WAREHOUSE, offsets_in, warehouse_metrics

__all__ = [
    "WAREHOUSE",
    "Behind",
    "LakeReader",
    "LakeTable",
    "LayerBehind",
    "TableMetrics",
    "Unit",
    "bronze_behind",
    "in_a_sentence",
    "lake_metrics",
    "lake_tables",
    "landed_behind",
    "layers_behind",
    "offsets_in",
    "warehouse_metrics",
]
