"""Finding out whether something listens."""

import socket
from typing import Final
from urllib.parse import urlsplit

# Chosen: a port on this machine answers in well under a millisecond, one in the same region within 0.1 s.
TIMEOUT_S: Final = 1.0

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def answers(url: str) -> str:
    """Connect to a URL's host and port; return what is wrong, or an empty string."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError as error:
        return f"is not a URL: {error}"
    if not host or not port:
        return "is not a URL with a host; write http://host:port"
    return refuses(host, port)


def refuses(host: str, port: int) -> str:
    """Connect to a host and port; return what is wrong, or an empty string."""
    try:
        socket.create_connection((host, port), timeout=TIMEOUT_S).close()
    except OSError as error:
        return f"nothing answers ({error.strerror or error})"
    return ""
