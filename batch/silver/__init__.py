"""Silver: what is true now, one row per key, from bronze's changes by the contract."""
