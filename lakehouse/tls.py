"""Why the certificate of a server is not trusted, which clients seldom say."""

import socket
import ssl
from pathlib import Path

_SECONDS = 5
POSTGRES_HELLO = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
"""Postgres' SSLRequest: it answers with one byte, and TLS begins."""


def distrust(host: str, port: int, ca_file: str | Path | None, *, hello: bytes = b"") -> str | None:
    """Return why the certificate is not trusted; None where it is, or the server does not say.

    Args:
        host: also the name that the certificate must have.
        port: of the server.
        ca_file: certificates of the authorities that are trusted; by default the system's.
        hello: what to send before TLS begins; it is answered with one byte.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
        with socket.create_connection((host, port), timeout=_SECONDS) as plain:
            if hello:
                plain.sendall(hello)
                plain.recv(1)
            with context.wrap_socket(plain, server_hostname=host):
                return None
    except ssl.SSLCertVerificationError as error:
        return str(error.verify_message)
    except OSError:
        return None
