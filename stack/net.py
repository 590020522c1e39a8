"""Checks of ports: listening, free, answering HTTP, owner."""

import http.client
import socket

import psutil


def is_listening(host: str, port: int) -> bool:
    """Return whether a connection is accepted."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen there."""
    # Some systems allow a bind to one address beside a server on all addresses, which conflicts.
    if is_listening(host, port):
        return False
    with socket.socket() as server:
        # As servers do: a port with connections in TIME_WAIT is free.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((host, port))
        except OSError:
            return False
    return True


def http_status(host: str, port: int, path: str) -> int | None:
    """Return the status of a GET; None without an answer."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def holder_of(port: int) -> str:
    """Return the process that listens on `port`, as far as permissions allow."""
    try:
        for pid in listeners(port):
            return _name(pid)
    except psutil.Error:
        pass
    return "another program"


def listeners(port: int) -> list[int | None]:
    """Return ids of the processes that listen on `port`; None for those of other users."""
    try:
        return [
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
        ]
    except psutil.Error:
        return []


def _name(pid: int | None) -> str:
    return "another user's program" if pid is None else f"{psutil.Process(pid).name()} (pid {pid})"
