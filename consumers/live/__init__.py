"""The live consumer: Kafka to what the warehouse shows before the next consolidation."""
