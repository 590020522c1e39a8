"""Contracts of tables that nobody wrote one for: derived from the shop's own catalog."""
