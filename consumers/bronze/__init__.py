"""The lander: every record of Kafka into bronze, exactly once; what was lost is recorded."""
