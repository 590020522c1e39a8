"""Kafka consumer groups that store their positions with the data: `bronze` and `live`."""
