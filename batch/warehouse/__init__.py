"""The warehouse: its schema, its load from silver in one transaction, and its views."""
