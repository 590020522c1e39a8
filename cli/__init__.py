"""The command line. Each module here is one group of commands and loads what it needs when run."""
