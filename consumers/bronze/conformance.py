"""Checks of the object store at startup: exactly-once delivery relies on conditional writes."""

import io
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
from minio import Minio
from minio.error import S3Error
from urllib3.exceptions import HTTPError

from lakehouse.errors import PipelineError, Problem, RetryLaterError, StopPipelineError
from lakehouse.http import http_client
from lakehouse.object_store import explain_client

_WRITERS = 4


def require_conditional_put(
    client: Minio, bucket: str, *, writers: int = _WRITERS, timeout_seconds: float = 10
) -> None:
    """Let several writers race to create one object, and reject a store that lets two win.

    Protocol: HTTP `If-None-Match: *` (RFC 9110, section 13.1.2), as S3 defines it for PUT.

    Raises:
        StopPipelineError: the store ignores the condition.
        RetryLaterError: the store does not answer.
    """
    name = f"_conformance/{uuid.uuid4()}"
    url = client.get_presigned_url("PUT", bucket, name, expires=timedelta(minutes=5))
    start = threading.Barrier(writers)

    def put(writer: int) -> int:
        start.wait()
        return http.put(url, content=str(writer), headers={"If-None-Match": "*"}).status_code

    try:
        with http_client(timeout=timeout_seconds) as http, ThreadPoolExecutor(writers) as pool:
            answers = list(pool.map(put, range(writers)))
        if httpx.codes.OK in answers:
            client.remove_object(bucket, name)
    except httpx.HTTPError as error:
        raise explain_client(error, f"Bucket {bucket} cannot be tested") from error
    except S3Error as error:
        raise _refusal(bucket, error) from error
    if any(httpx.codes.is_server_error(answer) for answer in answers):
        message = f"object store, bucket {bucket}: not ready, it answers {answers}"
        raise RetryLaterError(message)
    if any(answer in (401, 403, 404) for answer in answers):
        message = Problem(
            f"object store, bucket {bucket}: refuses this user ({answers})",
            "Run `./pipeline up`: it creates the bucket, the user and its rights.",
        )
        raise StopPipelineError(message)
    winners = sum(answer == httpx.codes.OK for answer in answers)
    refused = sum(answer in (409, 412) for answer in answers)
    if winners != 1 or refused != writers - 1:
        message = Problem(
            f"the object store does not honour conditional PUT: {writers} writers raced for one "
            f"object in bucket {bucket!r} and got {answers}, not one 200 and otherwise 412, so two "
            "landers could overwrite each other's commits",
            "Use a store that does (MinIO does).",
        )
        raise StopPipelineError(message)


def require_consistent_listing(client: Minio, bucket: str) -> None:
    """Reject a store whose listing does not show the latest writes and deletes.

    Delta finds the newest version of a table by listing its log.

    Raises:
        StopPipelineError: a listing does not match what was just written or deleted.
        RetryLaterError: the store does not answer.
    """
    name = f"_conformance/{uuid.uuid4()}"
    try:
        seen = []
        for text in (b"first", b"second"):
            client.put_object(bucket, name, io.BytesIO(text), len(text))
            seen.append(_names(client, bucket, name) == [name])
            seen.append(_content(client, bucket, name) == text)
        client.remove_object(bucket, name)
        seen.append(_names(client, bucket, name) == [])
    except S3Error as error:
        raise _refusal(bucket, error) from error
    except HTTPError as error:
        raise explain_client(error, f"Bucket {bucket} cannot be tested") from error
    if not all(seen):
        message = Problem(
            f"the object store does not show at once what was written to bucket {bucket!r}, or "
            "deleted from it, so a reader could miss a commit",
            "Use a store that does (MinIO does).",
        )
        raise StopPipelineError(message)


def _refusal(bucket: str, error: S3Error) -> PipelineError:
    """Convert an error; a store that has just started may deny access for a moment."""
    message = f"object store, bucket {bucket}: {error.code}, {error.message}"
    if httpx.codes.is_server_error(error.response.status):
        return RetryLaterError(message)
    return StopPipelineError(message)


def _names(client: Minio, bucket: str, prefix: str) -> list[str | None]:
    return [one.object_name for one in client.list_objects(bucket, prefix=prefix, recursive=True)]


def _content(client: Minio, bucket: str, name: str) -> bytes:
    answer = client.get_object(bucket, name)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()
