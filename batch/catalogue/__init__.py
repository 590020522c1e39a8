"""What tables there are in each layer, and their figures."""

from batch.catalogue.behind import (
    LayerBehind,
    bronze_behind,
    in_a_sentence,
    landed_behind,
    layers_behind,
)
from batch.catalogue.figures import Behind, LakeTable, TableFigures, Unit
from batch.catalogue.lake import lake_figures, lake_tables
from batch.catalogue.warehouse import WAREHOUSE, loaded_offsets, warehouse_figures

__all__ = [
    "WAREHOUSE",
    "Behind",
    "LakeTable",
    "LayerBehind",
    "TableFigures",
    "Unit",
    "bronze_behind",
    "in_a_sentence",
    "lake_figures",
    "lake_tables",
    "landed_behind",
    "layers_behind",
    "loaded_offsets",
    "warehouse_figures",
]
