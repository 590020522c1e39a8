"""HTTP clients for the servers of the pipeline."""

import ssl
from functools import cache
from typing import Any

import httpx


def http_client(base_url: str = "", **options: Any) -> httpx.Client:  # noqa: ANN401 - httpx.Client's
    """Return a client that ignores the environment's proxies; the caller closes it.

    Args:
        base_url: what paths of requests are appended to.
        options: further ones of `httpx.Client`.
    """
    return httpx.Client(base_url=base_url, trust_env=False, verify=_trusted(), **options)


@cache
def _trusted() -> ssl.SSLContext:
    """Return what all clients share.

    httpx (0.28) reads all certificates for each client that is not given a context, even if it
    never uses TLS: 30 ms of CPU, many times what a request takes.
    """
    return httpx.create_ssl_context()
