"""A consumer's metrics over HTTP."""

from prometheus_client import CollectorRegistry, start_http_server

from lakehouse.errors import RetryLaterError


def serve_metrics(registry: CollectorRegistry, host: str, port: int) -> None:
    """Serve metrics until the process ends; port 0 is off.

    Raises:
        RetryLaterError: another program has the port.
    """
    if not port:
        return
    try:
        start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        problem = f"Metrics cannot be served at {host}:{port}: {error.strerror}"
        action = (
            "A second process on one machine needs another port: --metrics-port N, or 0 for none."
        )
        raise RetryLaterError(problem, action) from error
