"""How values are written in the configuration: durations, sizes, addresses, URLs."""

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

_SECONDS: Final = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# What reaches this machine's own loopback address; as a listen address, 0.0.0.0 and :: include it.
_LOCAL_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1", "0.0.0.0", "::"})  # noqa: S104 - compared with
_BYTES: Final = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def parse_duration(value: object) -> float:
    """Return a duration in seconds; raise ValueError when the value is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a duration such as 500ms, 2s, 10m, 1h or a number of seconds")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def parse_size(value: object) -> int:
    """Return a size in bytes; raise ValueError when the value is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?i?b)?\s*", value.lower()) if isinstance(value, str) else None
    unit = (match[2] or "") if match else None
    if match is None or unit not in _BYTES:
        raise ValueError("write a size such as 64MiB, 10kB or a number of bytes")
    return int(float(match[1]) * _BYTES[unit])


def split_address(address: str) -> tuple[str, int]:
    """Split ``host:port`` (IPv6 in brackets); raise ValueError when it is not that."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("write host:port, such as 127.0.0.1:4317 or [::1]:4317 (port 0: any free one)")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("write an IPv6 address in brackets, such as [::1]:4317")
    return host, int(port)


def _checked_address(address: str) -> str:
    split_address(address)
    return address


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("write http://host:port (plain) or https://host:port (TLS)")
    if re.search(r"/v1/(traces|metrics|logs)/?$", parts.path):
        raise ValueError("leave /v1/traces and the like out; they are appended for each signal")
    return url.rstrip("/")


def is_own(endpoint: str, address: str) -> bool:
    """Tell whether an endpoint leads to an address that this process listens on."""
    parts = urlsplit(endpoint)
    host, port = split_address(address)
    default_port = 443 if parts.scheme == "https" else 80
    if port == 0 or (parts.port or default_port) != port:
        return False
    return parts.hostname == host or (parts.hostname in _LOCAL_HOSTS and host in _LOCAL_HOSTS)


Duration = Annotated[float, Field(ge=0), BeforeValidator(parse_duration, json_schema_input_type=str | float)]
PositiveDuration = Annotated[float, Field(gt=0), BeforeValidator(parse_duration, json_schema_input_type=str | float)]
Size = Annotated[int, Field(gt=0), BeforeValidator(parse_size, json_schema_input_type=str | int)]
Address = Annotated[str, AfterValidator(_checked_address)]
Url = Annotated[str, AfterValidator(_checked_url)]
