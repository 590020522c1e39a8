"""Kafka consumers: landing into bronze."""
