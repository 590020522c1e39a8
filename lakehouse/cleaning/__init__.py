"""From records of the shop to changes that are read, cleaned and judged: for every layer."""
