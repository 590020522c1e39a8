"""Members of Kafka consumer groups that keep their positions with the data: `bronze` and `live`."""
