"""Other systems, each doing the lander's task: a topic into a table on MinIO.

Each program runs in an environment of its own, so it imports its system, this package and the
standard library only: `python -m benchmarks.peer_programs.NAME TASK TABLE ...` lands the topic in
each of the tables in turn, and says when it begins.
"""
