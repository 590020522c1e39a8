"""Apache Spark as an engine: it distributes the functions that one machine runs, and their files.

A job is a map over tasks whose results, files in shards, are brought together shard by shard. All
computing is done by the project's own functions in Spark's Python workers; rows stay in Arrow
files, so that no type of Spark's is in between. Workers read and write tables by delta-rs, and only
the caller commits.
"""
