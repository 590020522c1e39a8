"""One file for each; what they share is in `orchestration`."""
