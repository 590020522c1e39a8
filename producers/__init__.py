"""The shop: its OLTP schema and the simulator that writes to it."""
