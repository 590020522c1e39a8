"""The live consumer: Kafka to the warehouse's live schema, ahead of the next hourly run."""
