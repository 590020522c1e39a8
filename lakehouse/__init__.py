"""Shared kernel: settings, errors, coordinates and watermarks, Delta tables, command line."""
