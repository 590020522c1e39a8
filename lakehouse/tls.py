"""Why the certificate of a server is not trusted, which clients seldom say."""

import socket
import ssl
from pathlib import Path

_SECONDS = 5
_ALERT_SECONDS = 2
"""How long to wait for an alert; a server that has none to send is silent."""
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


def refusal(
    host: str, port: int, ca_file: str | Path | None, own: tuple[str, str] | None
) -> str | None:
    """Return why a server does not take our certificate; None where it does, or does not say.

    TLS 1.3 (RFC 8446, 4.4.2.4) tells only after a handshake that looks complete.

    Args:
        host: also the name that the server's certificate must have.
        port: of the server, which the client has to begin to talk to.
        ca_file: certificates of the authorities that are trusted; by default the system's.
        own: files of our certificate and its key; None if we have none.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if own is not None:
            context.load_cert_chain(*own)
        with (
            socket.create_connection((host, port), timeout=_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as server,
        ):
            server.settimeout(_ALERT_SECONDS)
            server.recv(1)
            return None
    except ssl.SSLError as error:
        return str(error.reason or error).lower().replace("_", " ")
    except OSError:
        return None
