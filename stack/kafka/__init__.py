"""Kafka and Kafka Connect, from a locked list of jars."""
