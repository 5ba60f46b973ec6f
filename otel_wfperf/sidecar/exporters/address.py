"""Read an exporter's endpoint."""

import ipaddress
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


def is_loopback(endpoint: str) -> bool:
    """Whether an endpoint URL is on this machine."""
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def target(endpoint: str) -> str:
    """Turn an endpoint URL into ``host:port``."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
