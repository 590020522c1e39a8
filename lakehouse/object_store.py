"""A MinIO client for objects other than tables, and the meaning of its errors."""

from http import HTTPStatus

from minio import Minio
from minio.error import S3Error
from urllib3.exceptions import HTTPError

from lakehouse.errors import PipelineError
from lakehouse.secrets import Secrets
from lakehouse.settings import MinioSettings
from lakehouse.trouble import Service, Trouble, told

_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: Trouble.RIGHTS,
    HTTPStatus.FORBIDDEN: Trouble.RIGHTS,
    HTTPStatus.NOT_FOUND: Trouble.GONE,
    HTTPStatus.INSUFFICIENT_STORAGE: Trouble.FULL,
}


def object_store(settings: MinioSettings, secrets: Secrets, *, user: str) -> Minio:
    """Create a client with the credentials of this MinIO user."""
    return Minio(
        f"{settings.host}:{settings.port}",
        access_key=user,
        secret_key=secrets[f"minio_{user}"],
        secure=settings.url.startswith("https:"),
        region=settings.region,
    )


def explain_client(error: S3Error | HTTPError, what: str) -> PipelineError:
    """Convert an error of this client, see `lakehouse.trouble.told`."""
    trouble = Trouble.AWAY
    if isinstance(error, S3Error):
        status = error.response.status
        otherwise = Trouble.AWAY if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Trouble.SCHEMA
        trouble = _BY_STATUS.get(HTTPStatus(status), otherwise)
        trouble = Trouble.SCHEMA if error.code == "NoSuchBucket" else trouble
    return told(trouble, Service.STORE, what, error)
