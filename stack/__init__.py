"""The stack: servers that are installed from packages and supervised, or run by Docker Compose."""
