"""Isolated stacks for tests and benchmarks. Not part of any image."""
