"""Gold: metrics for charts, recomputed where silver changed."""
