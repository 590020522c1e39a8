"""Apache Spark, for what one machine cannot hold: a standalone master and two workers."""
