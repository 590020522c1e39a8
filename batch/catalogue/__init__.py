"""What tables there are in each layer, and their figures."""

from batch.catalogue.figures import Behind, LakeTable, Mark, TableFigures, Unit
from batch.catalogue.lake import LAKE_LAYERS, lake_figures, lake_tables
from batch.catalogue.warehouse import WAREHOUSE, warehouse_figures

__all__ = [
    "LAKE_LAYERS",
    "WAREHOUSE",
    "Behind",
    "LakeTable",
    "Mark",
    "TableFigures",
    "Unit",
    "lake_figures",
    "lake_tables",
    "warehouse_figures",
]
