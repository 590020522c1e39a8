"""A MinIO client for objects other than tables, and the meaning of its errors."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import httpx
import pyarrow as pa
from minio import Minio
from minio.error import S3Error
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError

from lakehouse.errors import PipelineError
from lakehouse.secrets import Secrets
from lakehouse.settings import MinioSettings
from lakehouse.trouble import Service, Trouble, told

Put = Callable[[str, pa.Buffer], None]
"""Stores content at a path below a table. Its errors are those of the client, or of a file."""
_PUT_SECONDS = 60
_LARGEST_PUT = 64 * 1024 * 1024
"""In one request. A larger file is sent in parts."""
UNTRUSTED = r"invalid peer certificate|CERTIFICATE_VERIFY_FAILED"
"""What the clients of the object store say when they do not trust its certificate."""
_VIRTUAL = "AWS_VIRTUAL_HOSTED_STYLE_REQUEST"
_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: Trouble.RIGHTS,
    HTTPStatus.FORBIDDEN: Trouble.RIGHTS,
    HTTPStatus.NOT_FOUND: Trouble.GONE,
    HTTPStatus.INSUFFICIENT_STORAGE: Trouble.FULL,
}


def credentials(secrets: Secrets, *, user: str) -> dict[str, str]:
    """Return the credentials of a user, as options of delta-rs."""
    token = secrets.given(f"minio_{user}_session_token")
    return {
        "AWS_ACCESS_KEY_ID": secrets.given(f"minio_{user}_access_key") or user,
        "AWS_SECRET_ACCESS_KEY": secrets[f"minio_{user}"],
        **({"AWS_SESSION_TOKEN": token} if token else {}),
    }


def addressed(uri: str, options: Mapping[str, str]) -> dict[str, str]:
    """Return options of delta-rs and Polars for a table: with virtual hosts, its bucket's address.

    Both take the endpoint as the bucket's own then, so each bucket needs another one.

    Args:
        uri: the table's address.
        options: those of `lakehouse.lake.storage_options`.
    """
    if _VIRTUAL not in options:
        return dict(options)
    server, bucket = urlsplit(options["AWS_ENDPOINT_URL"]), urlsplit(uri).netloc
    return {**options, "AWS_ENDPOINT_URL": f"{server.scheme}://{bucket}.{server.netloc}"}


def addressing(settings: MinioSettings) -> dict[str, str]:
    """Return how requests name the bucket, as options of delta-rs and Polars."""
    return {_VIRTUAL: "true"} if settings.addressing_style == "virtual" else {}


def has_virtual_hosts(options: Mapping[str, str]) -> bool:
    """Return whether requests name the bucket in front of the host, by options of delta-rs."""
    return _VIRTUAL in options


def object_store(
    settings: MinioSettings, secrets: Secrets, *, user: str, pool: PoolManager | None = None
) -> Minio:
    """Create a client with the credentials of this user. `pool` has other limits than usual."""
    options = {**credentials(secrets, user=user), **addressing(settings)}
    return _client(urlsplit(settings.url), settings.region, options, pool=pool)


def _client(
    server: SplitResult,
    region: str,
    options: Mapping[str, str],
    *,
    pool: PoolManager | None = None,
) -> Minio:
    client = Minio(
        server.netloc,
        access_key=options["AWS_ACCESS_KEY_ID"],
        secret_key=options["AWS_SECRET_ACCESS_KEY"],
        session_token=options.get("AWS_SESSION_TOKEN"),
        secure=server.scheme == "https",
        region=region,
        http_client=pool,
    )
    if _VIRTUAL in options:
        client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
    return client


def impatient_pool(scheme: str, seconds: int) -> PoolManager:
    """Return a pool that tries once, and trusts the authorities that the client's own does.

    Those of urllib3 are the system's, which a slim image lacks; httpx has them without a system.
    """
    context = httpx.create_ssl_context() if scheme == "https" else None
    return PoolManager(retries=False, timeout=seconds, ssl_context=context)


def put_below(uri: str, options: Mapping[str, str]) -> Put:
    """Return a function that stores an object below a table, in one request.

    delta-rs (1.6) begins an upload, sends one part and ends it, however small the file: three
    requests, which are what a store charges for, and twice its work for a small file. Nothing is
    tried again here: whoever commits decides on that.

    Args:
        uri: the table's address, on S3 or in a local folder.
        options: those of the opened table, see `addressed`.
    """
    place = urlsplit(uri)
    if place.scheme != "s3":
        return partial(_put_file, Path(unquote(place.path)))
    server = urlsplit(options["AWS_ENDPOINT_URL"])
    if has_virtual_hosts(options):
        server = server._replace(netloc=server.netloc.removeprefix(f"{place.netloc}."))
    client = _client(
        server,
        options["AWS_REGION"],
        options,
        pool=impatient_pool(server.scheme, _PUT_SECONDS),
    )
    return partial(_put_object, client, place.netloc, place.path.strip("/"))


def _put_object(client: Minio, bucket: str, folder: str, path: str, content: pa.Buffer) -> None:
    stream = pa.BufferReader(content)
    client.put_object(bucket, f"{folder}/{path}", stream, content.size, part_size=_LARGEST_PUT)


def _put_file(folder: Path, path: str, content: pa.Buffer) -> None:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def explain_client(error: S3Error | HTTPError | httpx.HTTPError, what: str) -> PipelineError:
    """Convert an error of this client, see `lakehouse.trouble.told`."""
    return told(trouble_of_client(error), Service.STORE, what, error, then=way_out(error))


def trouble_of_client(error: S3Error | HTTPError | httpx.HTTPError) -> Trouble:
    """Classify an error of this client, or of an HTTP client."""
    if not isinstance(error, S3Error):
        return Trouble.RIGHTS if re.search(UNTRUSTED, str(error)) else Trouble.AWAY
    if error.code == "NoSuchBucket":
        return Trouble.SCHEMA
    status = error.response.status
    otherwise = Trouble.AWAY if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Trouble.SCHEMA
    return _BY_STATUS.get(HTTPStatus(status), otherwise)


def way_out(error: BaseException) -> Mapping[Trouble, str]:
    """Return what to do about an error that the usual words for its kind do not fit."""
    if not re.search(UNTRUSTED, str(error)):
        return {}
    trust = (
        "SSL_CERT_FILE has to name the authority that signed the store's certificate, and that one "
        "has to be in date and to have the name MINIO_HOST."
    )
    return {Trouble.RIGHTS: trust}
