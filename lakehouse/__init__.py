"""Shared kernel: settings, errors, offsets and watermarks, Delta tables."""

__version__ = "0.1.0"
"""The release, described in CHANGELOG.md. The build reads it here."""
