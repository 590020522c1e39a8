"""The Debezium connector: definition, registration, health, extractions."""
