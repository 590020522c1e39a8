"""What tables there are in each layer, and their figures."""

from batch.catalogue.behind import (
    LayerBehind,
    bronze_behind,
    in_a_sentence,
    landed_behind,
    layers_behind,
)
from batch.catalogue.figures import Behind, LakeTable, TableFigures, Unit, Watermark
from batch.catalogue.lake import lake_figures, lake_tables
from batch.catalogue.warehouse import WAREHOUSE, warehouse_figures

__all__ = [
    "WAREHOUSE",
    "Behind",
    "LakeTable",
    "LayerBehind",
    "TableFigures",
    "Unit",
    "Watermark",
    "bronze_behind",
    "in_a_sentence",
    "lake_figures",
    "lake_tables",
    "landed_behind",
    "layers_behind",
    "warehouse_figures",
]
