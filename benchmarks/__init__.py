"""Benchmarks, each printing a ratio against something run beside it."""
