"""Jobs over the lake: silver, gold, warehouse, run records, maintenance and reconciliation."""
