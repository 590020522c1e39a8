"""Contracts of the shop's tables. Every module here is read: a new contract is a new file."""
