"""Jobs over the lake: silver, gold, the warehouse, their records, upkeep and reconciliation."""
