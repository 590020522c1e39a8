"""A range of Kafka's offsets taken in again: into bronze, or into the live overlay."""
