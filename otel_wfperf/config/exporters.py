"""Settings of one OTLP back end."""

import re
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from otel_wfperf.config.section import Section
from otel_wfperf.config.values import PositiveDuration, Url


class RetryConfig(Section):
    """How an exporter tries again. There is no last try: the log keeps the data until `sidecar.log.max_age`.

    Source: opentelemetry-collector config/configretry (5 s, x 1.5, at most 30 s, jitter 0.5).
    """

    initial_delay_s: PositiveDuration = 5.0
    """Delay before the second try (default 5s)."""
    max_delay_s: PositiveDuration = 30.0
    """Longest delay between tries (default 30s)."""
    multiplier: float = Field(default=1.5, ge=1)
    """Growth of the delay from try to try."""
    jitter: float = Field(default=0.5, ge=0, le=1)
    """Random part of the delay, both ways (0..1)."""


# Source: gRPC over HTTP2, "Header-Name" and "ASCII-Value"; names in -bin would need bytes.
_HEADER_NAME = re.compile(r"(?!.*-bin$)[A-Za-z0-9_.-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")

SignalName = Literal["traces", "metrics", "logs"]


class ExporterConfig(Section):
    """One OTLP back end that gets everything received, as it came."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in metrics and messages; it also names the exporter's position in the log, so keep it."""
    endpoint: Url
    """http://host:port (plain) or https://host:port (TLS). For HTTP, `/v1/traces` and so on are appended."""
    protocol: Literal["grpc", "http/protobuf"] = "grpc"
    """OTLP transport."""
    signals: tuple[SignalName, ...] = ("traces", "metrics", "logs")
    """What to send; for example only traces to Jaeger."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Sent with each request, for example `authorization`; never printed."""
    compression: Literal["none", "gzip"] = "none"
    """Compression of what is sent; gzip costs more than everything else the sidecar does."""
    timeout_s: PositiveDuration = 10.0
    """Longest wait for an answer (default 10s). Source: OpenTelemetry OTLP exporter specification."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Requests in flight at once (count). Chosen: hides 10 ms of latency at 10 000 spans a second."""
    retry: RetryConfig = RetryConfig()
    """Delays between tries."""

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header; use letters, digits, - _ .")
            # A line break at the end is what reading a secret from a file often leaves.
            if not _HEADER_VALUE.fullmatch(value.get_secret_value()):
                raise ValueError(f"the value of {name!r} cannot be sent; it may hold printable ASCII only")
        return headers
