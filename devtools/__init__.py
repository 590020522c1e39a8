"""For tests and benchmarks: stacks of their own beside all others. Not in any image."""
