"""Gold: figures for charts, recomputed where silver changed."""
