"""A client of the object store itself, for what is no table."""

from minio import Minio

from lakehouse.secrets import Secrets
from lakehouse.settings import MinioSettings


def object_store(settings: MinioSettings, secrets: Secrets, *, user: str) -> Minio:
    """A client that asks as this MinIO user."""
    return Minio(
        f"{settings.host}:{settings.port}",
        access_key=user,
        secret_key=secrets[f"minio_{user}"],
        secure=settings.url.startswith("https:"),
        region=settings.region,
    )
