"""Shared kernel: settings, errors, coordinates and watermarks, Delta tables."""

__version__ = "0.1.0"
"""The release; CHANGELOG.md says what it has. The build reads it here."""
