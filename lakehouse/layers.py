"""The layers, from Kafka on, by the names that commands, records and metrics use."""

from enum import StrEnum


class Layer(StrEnum):
    """Where changes are, in the order in which they come there; live is beside the others."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"
    WAREHOUSE = "warehouse"
    LIVE = "live"


LAKE = (Layer.BRONZE, Layer.SILVER, Layer.GOLD)
"""Delta tables in the object store."""
STORED = (*LAKE, Layer.WAREHOUSE)
"""Those that keep what they have."""
CONSOLIDATED = (Layer.SILVER, Layer.GOLD, Layer.WAREHOUSE)
"""Those that a pipeline run makes."""
