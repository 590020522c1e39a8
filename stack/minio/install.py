"""MinIO, built from the locked module."""

from stack.go import Module
from stack.paths import MINIO_MODULE

MINIO = Module(name="MinIO", folder=MINIO_MODULE, packages=("github.com/minio/minio",))
