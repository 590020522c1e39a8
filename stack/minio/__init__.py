"""MinIO, built from the module in this folder."""
