"""The layers from Kafka on, with the names used in commands, records and metrics."""

from enum import StrEnum


class Layer(StrEnum):
    """Layers in the order in which changes reach them; live runs beside the others."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"
    WAREHOUSE = "warehouse"
    LIVE = "live"


LAKE = (Layer.BRONZE, Layer.SILVER, Layer.GOLD)
"""Delta tables in the object store."""
STORED = (*LAKE, Layer.WAREHOUSE)
"""Layers that only append or keep history."""
CONSOLIDATED = (Layer.SILVER, Layer.GOLD, Layer.WAREHOUSE)
"""Layers that a pipeline run writes."""
