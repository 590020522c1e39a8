"""The lander: writes every Kafka record to bronze, exactly once, and records losses."""
