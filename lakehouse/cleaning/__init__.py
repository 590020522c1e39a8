"""Parsing, cleaning and validation of the shop's change records, shared by all layers."""
