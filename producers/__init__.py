"""The shop's OLTP schema, and the simulator that writes to it."""
