"""The native stack: servers installed from packages, supervised, on loopback."""
