"""Silver: current rows, one per key, computed from bronze's changes by the contract."""
